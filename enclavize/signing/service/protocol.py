"""What client and service agree on: Inclavare Containers' signature service, with authentication beside it.

    POST /api/v1/signature/pkcs1         256 bytes of material -> {"signature": BASE64, "publicKey": PEM}
    GET  /api/v1/signature/public-key    PEM
    GET  /healthz, /ping; HEAD /         for load balancers; without authentication

Errors are a status and {"error": TEXT}.
"""

from __future__ import annotations

import base64
import binascii
import json

from enclavize.errors import SigningRefusedError

SIGN_PATH = "/api/v1/signature/pkcs1"
PUBLIC_KEY_PATH = "/api/v1/signature/public-key"
HEALTH_PATH = "/healthz"
PING_PATH = "/ping"
MAX_ANSWER_SIZE = 64 * 1024


def build_answer(signature: bytes, public_key_pem: bytes) -> bytes:
    """The JSON of a signature."""
    return json.dumps(
        {"signature": base64.b64encode(signature).decode(), "publicKey": public_key_pem.decode()}
    ).encode()


def parse_answer(data: bytes) -> tuple[bytes, bytes]:
    """Signature, and public key in PEM; nothing of it is verified. Raises ``SigningRefusedError``."""
    try:
        answer = json.loads(data)
        return base64.b64decode(answer["signature"], validate=True), answer["publicKey"].encode()
    except (ValueError, KeyError, TypeError, AttributeError, binascii.Error, RecursionError) as error:
        raise SigningRefusedError("The signing service does not answer with a signature") from error


def build_error(message: str) -> bytes:
    """The JSON of a refusal."""
    return json.dumps({"error": message}).encode()


def parse_error(data: bytes) -> str:
    """The text of a refusal, printable and short; "" if there is none."""
    try:
        text = json.loads(data)["error"]
    except (ValueError, KeyError, TypeError, RecursionError):
        return ""
    return "".join(char if char.isprintable() else " " for char in str(text)[:300])
