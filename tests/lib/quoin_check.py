# SPDX-License-Identifier: Apache-2.0
"""Assertions that say what they saw."""
import random
import sys

from botocore.exceptions import ClientError


def eq(got, want, what=""):
    if got != want:
        raise AssertionError(f"{what}: got {short(got)}, expected {short(want)}")


def short(x):
    text = repr(x)
    return text if len(text) < 400 else text[:400] + f"... ({len(text)} characters)"


def fails(code, call, *args, **kwargs):
    """The boto3 call must fail with this S3 code (or one of several); returns the HTTP status."""
    codes = (code,) if isinstance(code, str) else code
    try:
        call(*args, **kwargs)
    except ClientError as e:
        got = e.response["Error"]["Code"]
        if got not in codes:
            raise AssertionError(f"failed with {got}, expected {codes}: {e}") from None
        return e.response["ResponseMetadata"]["HTTPStatusCode"]
    raise AssertionError(f"succeeded, expected {codes}")


def data(n, seed=0):
    return random.Random(seed * 7919 + n).randbytes(n)


def say(*args):
    print(*args, flush=True)
    sys.stdout.flush()
