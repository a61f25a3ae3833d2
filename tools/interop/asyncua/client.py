"""A PLC on asyncua that calls linectl: nobody of linectl wrote its OPC UA.

It reads one JSON object from the first argument: endpoint, server (the certificate to expect),
certificate and key of its own, uri. It connects, signed and encrypted, goes to everything by browse
names, calls every method, and prints one JSON object with what it got.
"""

import asyncio
import json
import logging
import sys
from datetime import datetime
from typing import List, Optional

from asyncua import Client, ua
from asyncua.crypto.security_policies import SecurityPolicyBasic256Sha256
from asyncua.ua.uaerrors import UaStatusCodeError

MACHINE_VISION = "http://opcfoundation.org/UA/MachineVision"


# The structures of OPC 40100-1 as its nodeset has them. Of optional fields the mask (Encoding) says which are there.
@ua.uatypes.dataclass
class RecipeIdExternalDataType:
    Encoding: ua.UInt32 = 0
    Id: ua.String = ""


@ua.uatypes.dataclass
class RecipeIdInternalDataType:
    Encoding: ua.UInt32 = 0
    Id: ua.String = ""


@ua.uatypes.dataclass
class ConfigurationIdDataType:
    Encoding: ua.UInt32 = 0
    Id: ua.String = ""


@ua.uatypes.dataclass
class MeasIdDataType:
    Encoding: ua.UInt32 = 0
    Id: ua.String = ""


@ua.uatypes.dataclass
class PartIdDataType:
    Encoding: ua.UInt32 = 0
    Id: ua.String = ""


@ua.uatypes.dataclass
class JobIdDataType:
    Id: ua.String = ""


@ua.uatypes.dataclass
class ResultIdDataType:
    Id: ua.String = ""


@ua.uatypes.dataclass
class ResultDataType:
    Encoding: ua.UInt32 = 0
    ResultId: ResultIdDataType = ua.uatypes.field(default_factory=ResultIdDataType)
    HasTransferableDataOnFile: Optional[ua.Boolean] = None
    IsPartial: ua.Boolean = False
    IsSimulated: Optional[ua.Boolean] = None
    ResultState: ua.Int32 = 0
    MeasId: Optional[MeasIdDataType] = None
    PartId: Optional[PartIdDataType] = None
    ExternalRecipeId: Optional[RecipeIdExternalDataType] = None
    InternalRecipeId: RecipeIdInternalDataType = ua.uatypes.field(default_factory=RecipeIdInternalDataType)
    ProductId: Optional[PartIdDataType] = None
    ExternalConfigurationId: Optional[ConfigurationIdDataType] = None
    InternalConfigurationId: ConfigurationIdDataType = ua.uatypes.field(default_factory=ConfigurationIdDataType)
    JobId: JobIdDataType = ua.uatypes.field(default_factory=JobIdDataType)
    CreationTime: ua.DateTime = datetime.min
    ProcessingTimes: Optional[ua.Double] = None
    ResultContent: Optional[List[ua.Variant]] = None


ENCODINGS = {RecipeIdExternalDataType: 5002, MeasIdDataType: 5006, JobIdDataType: 5008, PartIdDataType: 5013, ResultDataType: 5018, RecipeIdInternalDataType: 5268, ResultIdDataType: 5274}


class News:
    """What a subscription told, oldest first."""

    def __init__(self):
        self.told = []

    def datachange_notification(self, node, value, data):
        self.told.append(value)

    def event_notification(self, event):
        self.told.append(event)


async def main():
    logging.disable(logging.CRITICAL)
    cfg = json.loads(sys.argv[1])
    client = Client(cfg["endpoint"], timeout=10)
    client.application_uri = cfg["uri"]
    await client.set_security(
        SecurityPolicyBasic256Sha256, certificate=cfg["certificate"], private_key=cfg["key"], server_certificate=cfg["server"]
    )
    try:
        await client.connect()
    except (UaStatusCodeError, ConnectionError, asyncio.TimeoutError) as error:
        print(json.dumps({"refused": type(error).__name__}))
        return
    got = {}
    try:
        ours = await client.get_namespace_index("urn:linectl:vision")
        vision = await client.get_namespace_index(MACHINE_VISION)
        for kind, number in ENCODINGS.items():
            ua.register_extension_object(kind.__name__, ua.NodeId(number, vision), kind)
        station = await client.nodes.objects.get_child(f"{ours}:Station")

        async def call(parent, path, *arguments):
            try:
                return await parent.call_method(path, *arguments)
            except UaStatusCodeError as error:
                return type(error).__name__

        def strings(*texts):
            return [ua.Variant(t, ua.VariantType.String) for t in texts]

        async def value(parent, *path):
            try:
                node = await parent.get_child(list(path))
                return await node.read_value()
            except UaStatusCodeError as error:
                return type(error).__name__

        news = News()
        subscription = await client.create_subscription(50, news)
        await subscription.subscribe_data_change(await station.get_child([f"{ours}:Result", f"{ours}:Sequence"]))

        # linectl's own methods
        got["before"] = await value(station, f"{ours}:Result", f"{ours}:Pass")
        got["inspect"] = await call(station, f"{ours}:Inspect", *strings("A1", "L1", "", "u"))
        got["rejected"] = await call(station, f"{ours}:Inspect", *strings("bad", "L1", "", ""))
        sequence = await call(station, f"{ours}:Trigger", *strings("A2", "L1", "", ""))
        got["sequence"] = sequence
        for _ in range(500):
            got["result"] = await call(station, f"{ours}:GetResult", ua.Variant(sequence, ua.VariantType.UInt32))
            if got["result"][0]:
                break
            await asyncio.sleep(0.01)
        got["unknown"] = await call(station, f"{ours}:GetResult", ua.Variant(4_000_000_000, ua.VariantType.UInt32))
        got["wrong"] = await call(station, f"{ours}:Inspect", ua.Variant(1, ua.VariantType.Int32), *strings("", "", ""))
        got["few"] = await call(station, f"{ours}:Inspect", *strings("A"))
        got["latest"] = [await value(station, f"{ours}:Result", f"{ours}:{name}") for name in ("Sequence", "PartId", "Pass", "Code")]
        for _ in range(500):
            if news.told and news.told[-1] == sequence:
                break
            await asyncio.sleep(0.01)
        got["news"] = news.told[-1] if news.told else None
        await subscription.delete()
        ready = await station.get_child(f"{ours}:Ready")
        try:
            await ready.write_value(True)
            got["written"] = "yes"
        except UaStatusCodeError as error:
            got["written"] = type(error).__name__

        # the view by OPC 40100-1
        system = await client.nodes.objects.get_child(f"{vision}:VisionSystem")
        machine = await system.get_child(f"{vision}:VisionStateMachine")
        automatic = await machine.get_child(f"{vision}:AutomaticModeStateMachine")
        cause = [ua.Variant(0, ua.VariantType.Int32), ua.Variant("interop", ua.VariantType.String)]

        async def state():
            mode = await value(automatic, "0:CurrentState")
            return [(await value(machine, "0:CurrentState")).Text, mode if isinstance(mode, str) else mode.Text]

        async def until(wanted):
            for _ in range(500):
                if (now := await state()) == wanted:
                    return now
                await asyncio.sleep(0.01)
            return now

        def null():
            return ua.Variant(None, ua.VariantType.ExtensionObject)

        def identifier(kind, text):
            return ua.Variant(getattr(ua, kind + "DataType")(Id=text), ua.VariantType.ExtensionObject)

        def job(part, recipe):
            return [identifier("MeasId", "M1"), identifier("PartId", part), recipe, null(), ua.Variant([], ua.VariantType.Variant)]

        async def start(part, recipe=None):
            out = await call(automatic, f"{vision}:StartSingleJob", *job(part, recipe or null()))
            return out if isinstance(out, str) else [out[0].Id, out[1]]

        got["states"] = [await until(["Operational", "Ready"])]
        got["id"] = (await value(machine, "0:CurrentState", "0:Id")).Identifier
        happened = News()
        watching = await client.create_subscription(50, happened)
        kinds = [client.get_node(ua.NodeId(number, vision)) for number in (1013, 1024)]
        await watching.subscribe_events(client.nodes.server, kinds)
        got["job"] = await start("B1")
        got["states"].append(await until(["Operational", "Ready"]))
        for _ in range(500):
            if len(happened.told) >= 2:
                break
            await asyncio.sleep(0.01)
        got["events"] = [[e.EventType.Identifier, e.JobId.Id, e.SourceName] for e in happened.told]
        ready = happened.told[-1]
        got["event"] = [ready.PartId.Id, ready.MeasId.Id, ready.ResultState, ready.IsPartial, [v.Value if isinstance(v, ua.Variant) else v for v in ready.ResultContent]]
        await watching.delete()
        management = await system.get_child(f"{vision}:ResultManagement")
        handle, result, error = await management.call_method(
            f"{vision}:GetResultById", ua.Variant(ready.ResultId, ua.VariantType.ExtensionObject), ua.Variant(0, ua.VariantType.Int32)
        )
        got["by id"] = [handle, error, result.ResultId.Id, result.JobId.Id, result.PartId.Id, result.MeasId.Id, result.ExternalRecipeId.Id]
        got["by id"] += [result.ResultState, result.IsPartial, result.IsSimulated, [v.Value for v in result.ResultContent]]
        got["no result"] = (await management.call_method(
            f"{vision}:GetResultById", ua.Variant(ResultIdDataType("4000000000"), ua.VariantType.ExtensionObject), ua.Variant(0, ua.VariantType.Int32)
        ))[2]
        results = [f"{vision}:ResultManagement", f"{vision}:Results", f"{vision}:LatestResult"]
        got["job result"] = [
            (await value(system, *results, f"{vision}:JobId")).Id,
            (await value(system, *results, f"{vision}:PartId")).Id,
            (await value(system, *results, f"{vision}:MeasId")).Id,
            await value(system, *results, f"{vision}:ResultState"),
            await value(system, *results, f"{vision}:IsPartial"),
            await value(system, *results, f"{ours}:Pass"),
        ]
        got["recipe"] = await start("B2", identifier("RecipeIdExternal", "other"))
        got["prepared"] = await value(system, f"{vision}:RecipeManagement", f"{vision}:Recipes", f"{vision}:bracket", f"{vision}:IsPrepared")
        got["stop"] = await call(automatic, f"{vision}:Stop", *cause)
        slow = await start("slow")
        got["states"].append(await until(["Operational", "SingleExecution"]))
        got["abort"] = await call(automatic, f"{vision}:Abort", *cause)
        got["aborted"] = [(await value(system, *results, f"{vision}:JobId")).Id == slow[0], await value(system, *results, f"{vision}:ResultState")]
        got["halt"] = await call(machine, f"{vision}:Halt", *cause)
        got["states"].append(await state())
        got["refused"] = await call(station, f"{ours}:Inspect", *strings("C", "", "", ""))
        got["halted"] = await call(machine, f"{vision}:SelectModeAutomatic")
        got["reset"] = await call(machine, f"{vision}:Reset", *cause)
        got["states"].append(await state())
        got["select"] = await call(machine, f"{vision}:SelectModeAutomatic")
        got["states"].append(await until(["Operational", "Ready"]))

        # the handshake, written
        handshake = await station.get_child(f"{ours}:Handshake")

        async def write(**values):
            nodes = [await handshake.get_child(f"{ours}:{name}") for name in values]
            kinds = {bool: ua.VariantType.Boolean, int: ua.VariantType.UInt32, str: ua.VariantType.String}
            await client.write_values(nodes, [ua.DataValue(ua.Variant(v, kinds[type(v)])) for v in values.values()])

        async def read(*names):
            return await client.read_values([await handshake.get_child(f"{ours}:{name}") for name in names])

        await write(PartPresent=False)
        await write(PartId="W1", Lot="L1", TriggerSeq=7000, PartPresent=True)
        for _ in range(500):
            got["handshake"] = await read("ResultValid", "ResultSeq", "Accept", "Reject", "ResultCode", "ResultPartId")
            if got["handshake"][0]:
                break
            await asyncio.sleep(0.01)
        await write(PartPresent=False)
        got["at rest"] = await read("ResultValid", "ResultSeq", "Accept", "Reject")
    finally:
        await client.disconnect()
    print(json.dumps(got))


asyncio.run(main())
