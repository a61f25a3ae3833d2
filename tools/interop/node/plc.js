// A simulated PLC on node-opcua: nobody of linectl wrote its OPC UA. It speaks as ../asyncua/plc.py does:
// a JSON object as its first argument; endpoint and tags as one JSON line; parts when a line comes in; an end
// when its input ends.
"use strict";

const fs = require("fs");
const os = require("os");
const path = require("path");
const readline = require("readline");
const { createRequire } = require("module");

// The modules lie where set-up put them.
const load = createRequire(path.join(process.env.LINECTL_INTEROP_NODE || __dirname, "package.json"));
const { OPCUAServer } = load("node-opcua-server");
const { OPCUACertificateManager } = load("node-opcua-certificate-manager");
const { DataType, Variant } = load("node-opcua-variant");
const { StatusCodes } = load("node-opcua-status-code");
const { MessageSecurityMode, SecurityPolicy } = load("node-opcua-secure-channel");

// key: type, first value, whether linectl writes it, profile from which on it is there
const table = {
  part_present: ["Boolean", false, false, "minimal"],
  trigger_seq: ["UInt16", 0, false, "standard"],
  part_id: ["String", "", false, "full"],
  recipe_id: ["String", "", false, "full"],
  lot: ["String", "", false, "full"],
  plc_heartbeat: ["UInt16", 0, false, "standard"],
  accept: ["Boolean", false, true, "standard"],
  reject: ["Boolean", true, true, "minimal"],
  result_seq: ["UInt16", 0, true, "standard"],
  result_part_id: ["String", "", true, "full"],
  result_code: ["Int16", 0, true, "standard"],
  score: ["Float", 0, true, "full"],
  result_valid: ["Boolean", false, true, "minimal"],
  ready: ["Boolean", false, true, "standard"],
  busy: ["Boolean", false, true, "full"],
  fault: ["Boolean", false, true, "standard"],
  fault_code: ["Int16", 0, true, "standard"],
  vision_heartbeat: ["UInt16", 0, true, "standard"],
  missed_count: ["UInt32", 0, true, "full"],
  overrun_count: ["UInt32", 0, true, "full"],
  deadline_count: ["UInt32", 0, true, "full"],
};
const profiles = ["minimal", "standard", "full"];

console.log = console.warn = () => {}; // the output is for the lines of say alone

const say = (what) => process.stdout.write(JSON.stringify(what) + "\n");
const sleep = (ms) => new Promise((done) => setTimeout(done, ms));

async function main() {
  const cfg = JSON.parse(process.argv[2]);
  const folder = fs.mkdtempSync(path.join(os.tmpdir(), "linectl-node-"));
  process.on("exit", () => fs.rmSync(folder, { recursive: true, force: true }));
  const certificates = new OPCUACertificateManager({ rootFolder: folder, automaticallyAcceptUnknownCertificate: false });
  await certificates.initialize();
  await certificates.trustCertificate(fs.readFileSync(cfg.trusted));
  const server = new OPCUAServer({
    port: 0,
    hostname: "127.0.0.1",
    certificateFile: cfg.certificate,
    privateKeyFile: cfg.key,
    serverCertificateManager: certificates,
    userCertificateManager: certificates,
    serverInfo: { applicationUri: cfg.uri },
    securityPolicies: [cfg.open ? SecurityPolicy.None : SecurityPolicy.Basic256Sha256],
    securityModes: [cfg.open ? MessageSecurityMode.None : MessageSecurityMode.SignAndEncrypt],
    allowAnonymous: cfg.user === "",
    userManager: { isValidUser: (user, password) => user === cfg.user && password === cfg.password },
  });
  await server.initialize();
  const space = server.engine.addressSpace;
  const own = space.registerNamespace("urn:linectl:interop");
  const inspect = own.addFolder("ObjectsFolder", { browseName: "Inspect" });
  const values = {};
  // When result_valid came for the part in view: the loop below looks only every other millisecond.
  let valid = 0;
  const scan = (key) => {
    if (key === "result_valid" && values.result_valid && get("result_seq", values.trigger_seq) === values.trigger_seq) valid = performance.now();
  };
  for (const [key, [type, first, writable, since]] of Object.entries(table)) {
    if (profiles.indexOf(since) > profiles.indexOf(cfg.profile)) continue;
    values[key] = first;
    own.addVariable({
      componentOf: inspect,
      nodeId: "s=" + key,
      browseName: key,
      dataType: type,
      accessLevel: writable ? "CurrentRead | CurrentWrite" : "CurrentRead",
      userAccessLevel: writable ? "CurrentRead | CurrentWrite" : "CurrentRead",
      minimumSamplingInterval: 10,
      value: {
        get: () => new Variant({ dataType: DataType[type], value: values[key] }),
        set: writable ? (v) => ((values[key] = v.value), scan(key), StatusCodes.Good) : undefined,
      },
    });
  }
  const put = (key, value) => {
    if (key in values) values[key] = value;
  };
  const get = (key, absent) => (key in values ? values[key] : absent);
  const until = async (condition, limit) => {
    for (const end = Date.now() + limit; Date.now() < end; await sleep(2)) if (condition()) return true;
    return false;
  };
  await server.start();
  say({
    endpoint: "opc.tcp://127.0.0.1:" + server.endpoints[0].port,
    tags: Object.fromEntries(Object.keys(values).map((key) => [key, "nsu=urn:linectl:interop;s=" + key])),
  });
  setInterval(() => put("plc_heartbeat", (get("plc_heartbeat", 0) + 1) % 65536), 100);

  const input = readline.createInterface({ input: process.stdin });
  input.on("close", () => process.exit(0));
  input.once("line", async () => {
    for (let n = 1; n <= cfg.parts; n++) {
      await until(() => !get("result_valid"), 5000);
      await sleep(50 + 50 * Math.random()); // at any phase of a poll or a subscription
      put("part_id", "P" + n);
      put("lot", "L7");
      put("trigger_seq", n);
      const presented = performance.now();
      put("part_present", true);
      const told = await until(() => get("result_valid") && get("result_seq", n) === n, 10000);
      const pass = told && get("accept", true) && !get("reject") && !get("fault", false);
      const outcome = { seq: n, told, pass, code: get("result_code", 0), part: get("result_part_id", ""), ms: valid - presented };
      put("part_present", false);
      say(outcome);
    }
  });
}

main().catch((err) => {
  console.error(err);
  process.exit(1);
});
