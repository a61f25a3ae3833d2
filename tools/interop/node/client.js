// A PLC on node-opcua that calls linectl: nobody of linectl wrote its OPC UA. It takes the same JSON object as
// ../asyncua/client.py as its first argument and prints one JSON object with what it got; of the view by
// OPC 40100-1 it uses what needs no structures.
"use strict";

const fs = require("fs");
const os = require("os");
const path = require("path");
const { createRequire } = require("module");

// The modules lie where set-up put them.
const load = createRequire(path.join(process.env.LINECTL_INTEROP_NODE || __dirname, "package.json"));
const { OPCUAClient, makeBrowsePath } = load("node-opcua-client");
const { OPCUACertificateManager } = load("node-opcua-certificate-manager");
const { DataType, VariantArrayType } = load("node-opcua-variant");
const { AttributeIds } = load("node-opcua-data-model");
const { TimestampsToReturn } = load("node-opcua-data-value");
const { MessageSecurityMode, SecurityPolicy } = load("node-opcua-secure-channel");

console.log = console.warn = console.error = () => {}; // the output is for one object alone

const sleep = (ms) => new Promise((done) => setTimeout(done, ms));
const text = (value) => ({ dataType: DataType.String, value });

async function main() {
  const cfg = JSON.parse(process.argv[2]);
  const folder = fs.mkdtempSync(path.join(os.tmpdir(), "linectl-node-"));
  process.on("exit", () => fs.rmSync(folder, { recursive: true, force: true }));
  const certificates = new OPCUACertificateManager({ rootFolder: folder, automaticallyAcceptUnknownCertificate: false });
  await certificates.initialize();
  await certificates.trustCertificate(fs.readFileSync(cfg.server));
  // It wants its certificate as PEM in a file of its own.
  const pem = path.join(folder, "own.pem");
  const base64 = fs.readFileSync(cfg.certificate).toString("base64").replace(/(.{64})/g, "$1\n").trim();
  fs.writeFileSync(pem, `-----BEGIN CERTIFICATE-----\n${base64}\n-----END CERTIFICATE-----\n`);
  const client = OPCUAClient.create({
    applicationName: "interop",
    applicationUri: cfg.uri,
    clientCertificateManager: certificates,
    certificateFile: pem,
    privateKeyFile: cfg.key,
    securityMode: MessageSecurityMode.SignAndEncrypt,
    securityPolicy: SecurityPolicy.Basic256Sha256,
    endpointMustExist: false,
    connectionStrategy: { maxRetry: 0 },
  });
  let session;
  try {
    await client.connect(cfg.endpoint);
    session = await client.createSession();
  } catch (error) {
    await client.disconnect().catch(() => {});
    return { refused: error.message };
  }
  const got = {};
  const namespaces = await session.readNamespaceArray();
  const ours = namespaces.indexOf("urn:linectl:vision");
  const vision = namespaces.indexOf("http://opcfoundation.org/UA/MachineVision");
  const find = async (from, way) => {
    const result = await session.translateBrowsePath(makeBrowsePath(from, way));
    if (!result.statusCode.isGood()) throw new Error(`${way}: ${result.statusCode.name}`);
    return result.targets[0].targetId;
  };
  const read = async (node) => {
    const result = await session.read({ nodeId: node, attributeId: AttributeIds.Value });
    return result.statusCode.isGood() ? result.value.value : result.statusCode.name;
  };
  const call = async (object, way, ...inputArguments) => {
    const result = await session.call({ objectId: object, methodId: await find(object, way), inputArguments });
    const out = result.outputArguments.map((v) => v.value);
    return result.statusCode.isGood() ? (out.length === 1 ? out[0] : out) : result.statusCode.name;
  };

  const station = await find("ObjectsFolder", `/${ours}:Station`);
  const subscription = await session.createSubscription2({
    requestedPublishingInterval: 50,
    requestedMaxKeepAliveCount: 10,
    requestedLifetimeCount: 100,
    maxNotificationsPerPublish: 0,
    publishingEnabled: true,
    priority: 0,
  });
  const sequence = await find(station, `/${ours}:Result/${ours}:Sequence`);
  const item = await subscription.monitor(
    { nodeId: sequence, attributeId: AttributeIds.Value },
    { samplingInterval: 50, queueSize: 10, discardOldest: true },
    TimestampsToReturn.Both,
  );
  item.on("changed", (v) => {
    got.news = v.statusCode.isGood() ? v.value.value : v.statusCode.name;
  });
  got.inspect = await call(station, `/${ours}:Inspect`, text("A1"), text("L1"), text(""), text("u"));
  got.rejected = await call(station, `/${ours}:Inspect`, text("bad"), text("L1"), text(""), text(""));
  got.sequence = await call(station, `/${ours}:Trigger`, text("A2"), text("L1"), text(""), text(""));
  for (let i = 0; i < 500; i++) {
    got.result = await call(station, `/${ours}:GetResult`, { dataType: DataType.UInt32, value: got.sequence });
    if (got.result[0]) break;
    await sleep(10);
  }
  for (let i = 0; i < 500 && got.news !== got.sequence; i++) await sleep(10);
  await subscription.terminate();
  got.few = await call(station, `/${ours}:Inspect`, text("A"));
  const written = await session.write({
    nodeId: await find(station, `/${ours}:Ready`),
    attributeId: AttributeIds.Value,
    value: { value: { dataType: DataType.Boolean, value: true } },
  });
  got.written = written.name;

  const machine = await find("ObjectsFolder", `/${vision}:VisionSystem/${vision}:VisionStateMachine`);
  const automatic = await find(machine, `/${vision}:AutomaticModeStateMachine`);
  const state = async () => {
    const one = async (of) => {
      const value = await read(await find(of, "/0:CurrentState"));
      return value.text || value;
    };
    return [await one(machine), await one(automatic)];
  };
  const ready = async () => {
    for (let i = 0; i < 500 && (await state())[1] !== "Ready"; i++) await sleep(10);
    return state();
  };
  const none = { dataType: DataType.ExtensionObject, value: null };
  const cause = [{ dataType: DataType.Int32, value: 0 }, text("interop")];
  got.states = [await ready()];
  const parameters = { dataType: DataType.Variant, arrayType: VariantArrayType.Array, value: [] };
  const job = await call(automatic, `/${vision}:StartSingleJob`, none, none, none, none, parameters);
  got.job = Array.isArray(job) ? job[1] : job;
  got.states.push(await ready());
  const results = `/${vision}:ResultManagement/${vision}:Results/${vision}:LatestResult`;
  const system = await find("ObjectsFolder", `/${vision}:VisionSystem`);
  got.done = [await read(await find(system, `${results}/${vision}:ResultState`)), await read(await find(system, `${results}/${ours}:Pass`))];
  got.stop = await call(automatic, `/${vision}:Stop`, ...cause);
  got.abort = await call(automatic, `/${vision}:Abort`, ...cause);
  got.halt = await call(machine, `/${vision}:Halt`, ...cause);
  got.states.push(await state());
  got.reset = await call(machine, `/${vision}:Reset`, ...cause);
  got.select = await call(machine, `/${vision}:SelectModeAutomatic`);
  got.states.push(await ready());

  // The handshake, written.
  const handshake = async (name) => find(station, `/${ours}:Handshake/${ours}:${name}`);
  const write = async (values) => {
    const kinds = { boolean: DataType.Boolean, number: DataType.UInt32, string: DataType.String };
    const nodes = [];
    for (const [name, value] of Object.entries(values)) {
      nodes.push({ nodeId: await handshake(name), attributeId: AttributeIds.Value, value: { value: { dataType: kinds[typeof value], value } } });
    }
    return (await session.write(nodes)).map((status) => status.name);
  };
  const signals = async (...names) => {
    const nodes = [];
    for (const name of names) nodes.push({ nodeId: await handshake(name), attributeId: AttributeIds.Value });
    return (await session.read(nodes)).map((result) => result.value.value);
  };
  await write({ PartPresent: false });
  await write({ PartId: "W1", Lot: "L1", TriggerSeq: 7000, PartPresent: true });
  for (let i = 0; i < 500; i++) {
    got.handshake = await signals("ResultValid", "ResultSeq", "Accept", "Reject", "ResultCode", "ResultPartId");
    if (got.handshake[0]) break;
    await sleep(10);
  }
  await write({ PartPresent: false });
  got.rest = await signals("ResultValid", "ResultSeq", "Accept", "Reject");
  await session.close();
  await client.disconnect();
  return got;
}

main().then(
  (got) => process.stdout.write(JSON.stringify(got) + "\n", () => process.exit(0)),
  (error) => process.stderr.write(`${error.stack}\n`, () => process.exit(1)),
);
