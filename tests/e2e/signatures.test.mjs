// What a hook is sent, checked as receivers do: by the specification's own library, and by the code that the docs give (O02).

import assert from "node:assert/strict";
import { execFileSync, spawnSync } from "node:child_process";
import { readFile } from "node:fs/promises";
import { createServer } from "node:http";
import { after, before, describe, test } from "node:test";

import { Webhook } from "standardwebhooks";

import { WITHOUT_DAEMON, eventually, startDesk } from "./harness.mjs";
import { visitor } from "./seed.mjs";

/** Where there is none, only the library is asked. */
const HAS_PYTHON = spawnSync("python3", ["--version"]).status === 0;

/** The function that docs/hooks.md gives to receivers in Python, asked about deliveries on standard input. */
async function pythonOfTheDocs() {
  const docs = await readFile(new URL("../../docs/hooks.md", import.meta.url), "utf8");
  const [, code] = /```python\n([\s\S]*?)```/.exec(docs);
  return `${code}
import json, sys
given = json.load(sys.stdin)
print(json.dumps([bool(is_ours(one["secret"], one["headers"], one["body"].encode())) for one in given]))
`;
}

describe("signatures of hooks", { skip: WITHOUT_DAEMON, timeout: 300_000 }, () => {
  let desk;
  let receiver;
  const got = [];

  before(async () => {
    receiver = createServer((request, answer) => {
      const chunks = [];
      request.on("data", (chunk) => chunks.push(chunk));
      request.on("end", () => {
        got.push({ headers: request.headers, body: Buffer.concat(chunks).toString() });
        answer.writeHead(204).end();
      });
    });
    await new Promise((resolve) => { receiver.listen(0, "127.0.0.1", resolve); });
    desk = await startDesk("daemon", { config: "\n[hooks]\nallow_private_addresses = true\n" });
  });
  after(async () => {
    await desk?.stop();
    receiver?.close();
  });

  /** What each says of a delivery. */
  const words = async (secret, { headers, body }) => {
    const bySpecification = () => {
      try {
        new Webhook(secret).verify(body, headers);
        return true;
      } catch {
        return false;
      }
    };
    if (!HAS_PYTHON) return { specification: bySpecification() };
    const given = JSON.stringify([{ secret, headers, body }]);
    const [python] = JSON.parse(execFileSync("python3", ["-c", await pythonOfTheDocs()], { input: given }).toString());
    return { specification: bySpecification(), python };
  };
  const ALL = { specification: true, ...(HAS_PYTHON && { python: true }) };
  const NONE = { specification: false, ...(HAS_PYTHON && { python: false }) };
  const heard = async (text) => {
    const customer = await visitor(desk, { name: "Jana Nováková" });
    await customer.say(text);
    return eventually(() => got.find(({ body }) => body.includes(text)), "the delivery");
  };

  test("o02 receivers take what is ours, and nothing that was changed", async (t) => {
    if (!HAS_PYTHON) t.diagnostic("there is no python3: the code of the docs was not tried");
    const url = `http://127.0.0.1:${receiver.address().port}/in`;
    const { status, body: hook } = await desk.ask("POST", "hooks", { url, events: ["message.created"] });
    assert.equal(status, 201);
    const delivery = await heard("Ľaľa, ťažké znaky: ščž 🦆");
    assert.deepEqual(await words(hook.secret, delivery), ALL);
    const { headers, body } = delivery;
    const changed = {
      "another body": { headers, body: body.replace("message.created", "message.updated") },
      "another id": { headers: { ...headers, "webhook-id": "another" }, body },
      "another time": { headers: { ...headers, "webhook-timestamp": String(Number(headers["webhook-timestamp"]) + 1) }, body },
    };
    for (const [what, one] of Object.entries(changed)) assert.deepEqual(await words(hook.secret, one), NONE, what);
    assert.deepEqual(await words(`whsec_${Buffer.alloc(24, 7).toString("base64")}`, delivery), NONE, "another secret");

    // While a secret is changed both are good.
    const rotated = await desk.ask("POST", `hooks/${hook.id}/rotate`, {});
    assert.equal(rotated.status, 200);
    const second = await heard("After the change");
    assert.deepEqual(await words(hook.secret, second), ALL, "the old one");
    assert.deepEqual(await words(rotated.body.secret, second), ALL, "the new one");
    assert.deepEqual(await words(rotated.body.secret, delivery), NONE, "what came before it");
  });
});
