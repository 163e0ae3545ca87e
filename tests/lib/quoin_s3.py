# SPDX-License-Identifier: Apache-2.0
"""A boto3 client of the daemon that tests/lib/common.sh has started: from quoin_s3 import s3"""
import os

import boto3
from botocore.config import Config


def client(**config):
    settings = {"retries": {"max_attempts": 0}, "s3": {"addressing_style": "path"}, "read_timeout": 120}
    settings.update(config)
    return boto3.client("s3", endpoint_url=os.environ["S3_URL"], config=Config(**settings))


s3 = client()
