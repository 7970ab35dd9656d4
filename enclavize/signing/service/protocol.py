"""What client and service agree on: Inclavare Containers' signature service, with authentication beside it,
and images.

    POST /api/v1/signature/pkcs1         256 bytes of material -> {"signature": BASE64, "publicKey": PEM}
    POST /api/v1/signature/image         {"name": NAME, "digest": DIGEST} -> the same, and {"payload": BASE64}
    GET  /api/v1/signature/public-key    PEM
    GET  /healthz, /ping; HEAD /         for load balancers; without authentication

Errors are a status and {"error": TEXT}.
"""

from __future__ import annotations

import base64
import json

from enclavize.errors import InvalidImageError, SigningRefusedError
from enclavize.oci.document import parse_document

SIGN_PATH = "/api/v1/signature/pkcs1"
SIGN_IMAGE_PATH = "/api/v1/signature/image"
PUBLIC_KEY_PATH = "/api/v1/signature/public-key"
HEALTH_PATH = "/healthz"
PING_PATH = "/ping"
MAX_ANSWER_SIZE = 64 * 1024
MAX_IMAGE_REQUEST_SIZE = 2048


def build_answer(signature: bytes, public_key_pem: bytes, payload: bytes | None = None) -> bytes:
    """The JSON of a signature; ``payload`` is what was signed, where the service has built it."""
    answer = {"signature": base64.b64encode(signature).decode(), "publicKey": public_key_pem.decode()}
    if payload is not None:
        answer["payload"] = base64.b64encode(payload).decode()
    return json.dumps(answer).encode()


def parse_answer(data: bytes) -> tuple[bytes, bytes]:
    """Signature, and public key in PEM; nothing of it is verified. Raises ``SigningRefusedError``."""
    try:
        answer = parse_document(data, "the answer")
        signature, public_key = answer.text("signature"), answer.text("publicKey")
        return base64.b64decode(signature, validate=True), public_key.encode()
    except (InvalidImageError, ValueError) as error:
        raise SigningRefusedError("the signing service does not answer with a signature") from error


def build_image_request(name: str, digest: str) -> bytes:
    """The JSON that asks for the signature of an image."""
    return json.dumps({"name": name, "digest": digest}).encode()


def parse_image_request(data: bytes) -> tuple[str, str]:
    """Name and digest; what they are is not checked. Raises ``InvalidImageError``."""
    document = parse_document(data, "the request")
    if set(document.members) != {"name", "digest"}:
        raise InvalidImageError("the request does not have just the members name and digest")
    return document.text("name"), document.text("digest")


def build_error(message: str) -> bytes:
    """The JSON of a refusal."""
    return json.dumps({"error": message}).encode()


def parse_error(data: bytes) -> str:
    """The text of a refusal, printable and short; "" if there is none."""
    try:
        text = parse_document(data, "the answer").text("error")
    except InvalidImageError:
        return ""
    return "".join(char if char.isprintable() else " " for char in text[:300])
