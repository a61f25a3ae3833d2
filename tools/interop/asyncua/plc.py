"""A simulated PLC on asyncua: nobody of linectl wrote its OPC UA.

It reads one JSON object from the first argument: certificate, key and trusted (files), user and
password ("" for none), profile, behind (seconds that the clock of its channels is behind), and parts, how many to present. It prints one JSON line with its
endpoint and its tags, presents the parts when a line comes in, prints what it made of each, and ends
when its input ends.
"""

import asyncio
import json
import logging
import os
import sys
import tempfile
from datetime import timedelta
from pathlib import Path

from asyncua import Server, ua
from asyncua.common.connection import SecureConnection
from asyncua.crypto.permission_rules import User, UserRole
from asyncua.crypto.truststore import TrustStore
from asyncua.crypto.validator import CertificateValidator, CertificateValidatorOptions

VT = ua.VariantType
# key: type, first value, whether linectl writes it, profile from which on it is there
TAGS = {
    "part_present": (VT.Boolean, False, False, "minimal"),
    "trigger_seq": (VT.UInt16, 0, False, "standard"),
    "part_id": (VT.String, "", False, "full"),
    "recipe_id": (VT.String, "", False, "full"),
    "lot": (VT.String, "", False, "full"),
    "plc_heartbeat": (VT.UInt16, 0, False, "standard"),
    "accept": (VT.Boolean, False, True, "standard"),
    "reject": (VT.Boolean, True, True, "minimal"),
    "result_seq": (VT.UInt16, 0, True, "standard"),
    "result_part_id": (VT.String, "", True, "full"),
    "result_code": (VT.Int16, 0, True, "standard"),
    "score": (VT.Float, 0.0, True, "full"),
    "result_valid": (VT.Boolean, False, True, "minimal"),
    "ready": (VT.Boolean, False, True, "standard"),
    "busy": (VT.Boolean, False, True, "full"),
    "fault": (VT.Boolean, False, True, "standard"),
    "fault_code": (VT.Int16, 0, True, "standard"),
    "vision_heartbeat": (VT.UInt16, 0, True, "standard"),
    "missed_count": (VT.UInt32, 0, True, "full"),
    "overrun_count": (VT.UInt32, 0, True, "full"),
    "deadline_count": (VT.UInt32, 0, True, "full"),
}
PROFILES = ["minimal", "standard", "full"]


class Users:
    def __init__(self, name, password):
        self.name, self.password = name, password

    def get_user(self, _server, username=None, password=None, certificate=None):
        if self.name == "" or (username == self.name and password == self.password):
            return User(role=UserRole.User)
        return None


def number_alike(behind):
    """Counts channels and tokens as servers on open62541 do: alike as long as none is renewed."""
    opened, renewed = SecureConnection.open, 0

    def open(self, params, server):
        nonlocal renewed
        result = opened(self, params, server)
        token = self.security_token
        if params.RequestType == ua.SecurityTokenRequestType.Renew:
            renewed += 1
            token = self.next_security_token
        token.TokenId = token.ChannelId + renewed
        token.CreatedAt -= timedelta(seconds=behind)
        return result

    SecureConnection.open = open


def say(**what):
    print(json.dumps(what), flush=True)


async def main():
    logging.disable(logging.CRITICAL)
    cfg = json.loads(sys.argv[1])
    profile = PROFILES.index(cfg["profile"])
    if cfg["behind"]:
        number_alike(cfg["behind"])
    server = Server(user_manager=Users(cfg["user"], cfg["password"]))
    await server.init()
    server.set_endpoint("opc.tcp://127.0.0.1:0/")
    await server.set_application_uri(cfg["uri"])
    server.set_security_policy([ua.SecurityPolicyType.Basic256Sha256_SignAndEncrypt])
    if cfg["user"]:
        server.set_identity_tokens([ua.UserNameIdentityToken])
    await server.load_certificate(cfg["certificate"])
    await server.load_private_key(cfg["key"])
    trusted = tempfile.TemporaryDirectory()
    os.symlink(os.path.abspath(cfg["trusted"]), os.path.join(trusted.name, "trusted.der"))
    store = TrustStore([Path(trusted.name)], [])
    await store.load()
    server.set_certificate_validator(
        CertificateValidator(CertificateValidatorOptions.TRUSTED_VALIDATION | CertificateValidatorOptions.PEER_CLIENT, store)
    )
    index = await server.register_namespace("urn:linectl:interop")
    folder = await server.nodes.objects.add_folder(index, "Inspect")
    tags = {}
    for key, (kind, value, writable, since) in TAGS.items():
        if PROFILES.index(since) > profile:
            continue
        tags[key] = await folder.add_variable(ua.NodeId(key, index), key, value, kind)
        if writable:
            await tags[key].set_writable()

    async def put(key, value):
        if key in tags:
            await tags[key].write_value(ua.Variant(value, TAGS[key][0]))

    async def get(key, absent=None):
        return await tags[key].read_value() if key in tags else absent

    async def beat():
        n = 0
        while True:
            n = (n + 1) % 65536
            await put("plc_heartbeat", n)
            await asyncio.sleep(0.1)

    async def until(condition, limit):
        for _ in range(int(limit / 0.002)):
            if await condition():
                return True
            await asyncio.sleep(0.002)
        return False

    async def inspect(n):
        async def cleared():
            return not await get("result_valid")

        async def valid():
            return await get("result_valid") and await get("result_seq", n) == n

        await until(cleared, 5)
        await asyncio.sleep(0.05)
        await put("part_id", f"P{n}")
        await put("lot", "L7")
        await put("trigger_seq", n)
        await put("part_present", True)
        told = await until(valid, 10)
        accept, reject = await get("accept", True), await get("reject")
        outcome = {
            "seq": n,
            "told": told,
            "pass": told and accept and not reject and not await get("fault", False),
            "code": await get("result_code", 0),
            "part": await get("result_part_id", ""),
        }
        await put("part_present", False)
        say(**outcome)

    async with server:
        port = server.bserver._server.sockets[0].getsockname()[1]
        say(
            endpoint=f"opc.tcp://127.0.0.1:{port}",
            tags={key: f"nsu=urn:linectl:interop;s={key}" for key in tags},
        )
        beating = asyncio.create_task(beat())
        loop = asyncio.get_running_loop()
        if await loop.run_in_executor(None, sys.stdin.readline):
            for n in range(1, cfg["parts"] + 1):
                await inspect(n)
            await loop.run_in_executor(None, sys.stdin.read)
        beating.cancel()


asyncio.run(main())
