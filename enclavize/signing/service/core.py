"""The service without HTTP: check, sign, log, and only then answer."""

from __future__ import annotations

import asyncio
import hashlib
import logging
import os
from concurrent.futures import ThreadPoolExecutor
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from enclavize.errors import EnclavizeError, UsageError
from enclavize.signing.image_keys import sign_image
from enclavize.signing.image_payload import build_payload
from enclavize.signing.keys import mrsigner, public_key_pem
from enclavize.signing.service.audit import EntryTooLongError, check_entry
from enclavize.signing.service.protocol import build_answer, parse_image_request
from enclavize.signing.two_step import parse_material

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from enclavize.sgx.sigstruct import Sigstruct
    from enclavize.signing.local import Signer
    from enclavize.signing.material import SigningMaterial
    from enclavize.signing.service.audit import AuditLog
    from enclavize.signing.service.config import Client


_LOG = logging.getLogger("enclavize.signer")


class RefusedError(Exception):
    """A request that is not served; the text is for the client."""

    def __init__(self, status: HTTPStatus, reason: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(reason)
        self.status = status
        self.reason = reason
        self.headers = dict(headers or {})


class AuditWriter:
    """Lets requests that come at the same time share one wait for the disk."""

    def __init__(self, log: AuditLog) -> None:
        self._log = log
        self._waiting: list[tuple[Mapping[str, Any], asyncio.Future[None]]] = []
        self._task: asyncio.Task[None] | None = None

    @property
    def is_broken(self) -> bool:
        return self._log.is_broken

    async def append(self, entry: Mapping[str, Any]) -> None:
        """Returns when the entry is on disk. Raises ``RefusedError`` if it cannot be written."""
        try:
            check_entry(entry)
        except EntryTooLongError as error:
            raise RefusedError(
                HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "no room for it in the audit log"
            ) from error
        done = asyncio.get_running_loop().create_future()
        self._waiting.append((entry, done))
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._write())
        await done

    async def _write(self) -> None:
        while self._waiting:
            batch, self._waiting = self._waiting, []
            try:
                await asyncio.to_thread(self._log.append, [entry for entry, _ in batch])
            except Exception as error:  # noqa: BLE001 - whatever it is, nobody may wait for ever
                if not isinstance(error, OSError):
                    _LOG.error("internal error", exc_info=error)
                reason = "the audit log cannot be written"
                for _, done in batch:
                    if not done.cancelled():
                        done.set_exception(RefusedError(HTTPStatus.SERVICE_UNAVAILABLE, reason))
                continue
            for _, done in batch:
                if not done.cancelled():
                    done.set_result(None)


class SigningService:
    """Signs for authenticated clients. ``signers`` are by the names of their keys."""

    def __init__(self, signers: Mapping[str, Signer], log: AuditLog) -> None:
        """Raises ``UsageError`` if two names mean the same key, which would lift the rules about sharing."""
        names: dict[bytes, str] = {}
        for name, signer in signers.items():
            other = names.setdefault(mrsigner(signer.public_key), name)
            if other != name:
                raise UsageError(f"the keys {other} and {name} are the same key")
        self._signers = signers
        self._audit = AuditWriter(log)
        self._pool = ThreadPoolExecutor(os.cpu_count() or 1, thread_name_prefix="sign")

    @property
    def is_healthy(self) -> bool:
        return not self._audit.is_broken

    def public_key(self, client: Client) -> bytes:
        """PEM of the client's key."""
        return public_key_pem(self._signers[client.key].public_key)

    async def sign(self, client: Client, body: bytes, facts: Mapping[str, Any]) -> bytes:
        """The JSON answer. ``facts`` about the request go to the audit log. Raises ``RefusedError``."""
        who = {"operation": "enclave", "client": client.name, "key": client.key, **facts}
        try:
            material = parse_material(body)
            sigstruct = material.sigstruct
        except EnclavizeError as error:
            await self._audit.append({"event": "refused", **who, "reasons": [str(error)]})
            raise RefusedError(HTTPStatus.BAD_REQUEST, str(error)) from error
        what = {**who, **_describe(body, sigstruct)}
        if reasons := list(client.policy.objections(sigstruct)):
            await self._audit.append({"event": "refused", **what, "reasons": reasons})
            raise RefusedError(HTTPStatus.FORBIDDEN, "; ".join(reasons))
        signature = await self._signed(what, lambda: self._sign(client.key, material))
        await self._log_signature(what, signature)
        return build_answer(signature, self.public_key(client))

    async def sign_image(self, client: Client, body: bytes, facts: Mapping[str, Any]) -> bytes:
        """The same for an image: ``body`` names it, and the service builds what is signed.

        Its lines in the audit log have ``image`` and ``digest`` in place of what SIGSTRUCTs have.
        """
        who = {"operation": "image", "client": client.name, "key": client.key, **facts}
        try:
            name, digest = parse_image_request(body)
            payload = build_payload(name, digest)
        except EnclavizeError as error:
            await self._audit.append({"event": "refused", **who, "reasons": [str(error)]})
            raise RefusedError(HTTPStatus.BAD_REQUEST, str(error)) from error
        what = {**who, "image": name, "digest": digest}
        if reasons := list(client.images.objections(name)):
            await self._audit.append({"event": "refused", **what, "reasons": reasons})
            raise RefusedError(HTTPStatus.FORBIDDEN, "; ".join(reasons))
        signature = await self._signed(what, lambda: self._sign_image(client.key, name, digest))
        await self._log_signature(what, signature)
        return build_answer(signature, self.public_key(client), payload)

    async def _signed(self, what: Mapping[str, Any], sign: Callable[[], bytes]) -> bytes:
        """Let a thread sign. Raises ``RefusedError`` where the key fails, which is logged."""
        try:
            return await asyncio.get_running_loop().run_in_executor(self._pool, sign)
        except EnclavizeError as error:
            await self._audit.append({"event": "failed", **what, "reasons": [str(error)]})
            raise RefusedError(HTTPStatus.SERVICE_UNAVAILABLE, "the key cannot be used now") from error

    async def _log_signature(self, what: Mapping[str, Any], signature: bytes) -> None:
        digest = hashlib.sha256(signature).hexdigest()
        await self._audit.append({"event": "signed", **what, "signature_sha256": digest})

    def _sign_image(self, key: str, name: str, digest: str) -> bytes:
        return sign_image(self._signers[key], name, digest).signature

    def _sign(self, key: str, material: SigningMaterial) -> bytes:
        """A faulty signature could reveal the key, so each is verified before it leaves."""
        signer = self._signers[key]
        signature = signer.sign(material)
        material.sigstruct.with_signature(signature, signer.public_key)
        return signature

    def close(self) -> None:
        self._pool.shutdown()


def _describe(body: bytes, sigstruct: Sigstruct) -> dict[str, Any]:
    measurement = sigstruct.measurement
    return {
        "material_sha256": hashlib.sha256(body).hexdigest(),
        "mrenclave": measurement.mrenclave.hex(),
        "isvprodid": measurement.isv_prod_id,
        "isvsvn": measurement.isv_svn,
        "isvfamilyid": measurement.isv_family_id.hex(),
        "isvextprodid": measurement.isvext_prod_id.hex(),
        "attributes": measurement.attributes.to_bytes().hex(),
        "attributes_mask": measurement.attributes_mask.to_bytes().hex(),
        "misc_select": measurement.misc_select,
        "misc_mask": measurement.misc_mask,
        "date": f"{sigstruct.date:08x}",
    }
