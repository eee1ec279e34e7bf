"""The guide's table of models and prefixes, as the tests of every layer compare with it."""

SONNET_45 = "anthropic.claude-sonnet-4-5-20250929-v1:0"
SONNET_4 = "anthropic.claude-sonnet-4-20250514-v1:0"
SONNET_37 = "anthropic.claude-3-7-sonnet-20250219-v1:0"
OPUS_45 = "anthropic.claude-opus-4-5-20251101-v1:0"
OPUS_41 = "anthropic.claude-opus-4-1-20250805-v1:0"
OPUS_4 = "anthropic.claude-opus-4-20250514-v1:0"
OPUS_3 = "anthropic.claude-3-opus-20240229-v1:0"
HAIKU_45 = "anthropic.claude-haiku-4-5-20251001-v1:0"
HAIKU_35 = "anthropic.claude-3-5-haiku-20241022-v1:0"
HAIKU_3 = "anthropic.claude-3-haiku-20240307-v1:0"

# The columns with "Ya" of each model, and `au`, which its text adds ("US, EU, Japan and Australia").
GUIDE = {
    SONNET_45: {"global", "us", "eu", "jp", "au"},
    SONNET_4: {"global", "us", "eu", "apac"},
    SONNET_37: {"us", "eu", "apac"},
    OPUS_45: {"global", "us", "eu"},
    OPUS_41: {"us"},
    OPUS_4: {"us"},
    OPUS_3: {"us"},
    HAIKU_45: {"global", "us", "eu", "au"},
    HAIKU_35: {"us"},
    HAIKU_3: {"us", "eu", "apac"},
}

# A region of each geography, in the order of the table's columns.
PLACES = {
    "global": "us-east-1",
    "us": "us-west-2",
    "eu": "eu-central-1",
    "jp": "ap-northeast-1",
    "apac": "ap-northeast-1",
    "au": "ap-southeast-2",
}
