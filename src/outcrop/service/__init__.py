"""What Bedrock does, without HTTP: who asks, what is asked, who answers."""
