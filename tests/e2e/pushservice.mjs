// A push service as Firefox speaks to one (WebSocket: hello, register, notification, ack), and as an application server
// does (RFC 8030: POST to an endpoint, with VAPID by RFC 8292). It runs on loopback and is strict: what a real one refuses,
// it refuses.

import { createPublicKey, randomBytes, randomUUID, verify } from "node:crypto";
import { createServer } from "node:http";

import { WebSocketServer } from "ws";

/** The longest body that a push service has to take, in bytes (RFC 8030, 7.2). */
const MAX_BODY = 4096;
/** The longest life of a VAPID token, in seconds (RFC 8292, 2). */
const LONGEST_TOKEN = 24 * 3600;

const fromBase64Url = (text) => Buffer.from(text, "base64url");

/** The key of an uncompressed point of P-256. */
function keyOf(point) {
  if (point.length !== 65 || point[0] !== 4) throw new Error("k is no uncompressed point of P-256");
  return createPublicKey({ format: "jwk", key: { kty: "EC", crv: "P-256", x: point.subarray(1, 33).toString("base64url"), y: point.subarray(33).toString("base64url") } });
}

/** Why an `Authorization` of VAPID does not do; null where it does. */
export function refusedVapid(authorization, origin, applicationServerKey, now = Date.now()) {
  const found = /^vapid t=([\w-]+)\.([\w-]+)\.([\w-]+), ?k=([\w-]+)$/.exec(authorization ?? "");
  if (!found) return `no VAPID: ${authorization}`;
  const [, head, body, signature, k] = found;
  try {
    const header = JSON.parse(fromBase64Url(head));
    if (header.alg !== "ES256") return `alg ${header.alg}`;
    if (applicationServerKey && !fromBase64Url(k).equals(fromBase64Url(applicationServerKey))) return "k is not the key of the subscription";
    if (!verify("sha256", Buffer.from(`${head}.${body}`), { key: keyOf(fromBase64Url(k)), dsaEncoding: "ieee-p1363" }, fromBase64Url(signature))) return "the signature is wrong";
    const claims = JSON.parse(fromBase64Url(body));
    if (claims.aud !== origin) return `aud ${claims.aud} is not ${origin}`;
    const left = claims.exp - now / 1000;
    if (!(left > 0 && left <= LONGEST_TOKEN)) return `exp is ${left} s away`;
    if (claims.sub !== undefined && !/^(mailto:|https:)/.test(claims.sub)) return `sub ${claims.sub}`;
    return null;
  } catch (error) {
    return `not readable: ${error.message}`;
  }
}

/**
 * Starts the service. `answers` takes what to answer to the next deliveries instead of delivering them, oldest first:
 * `{status, headers}`, or `"hang"`.
 */
export async function startPushService() {
  const service = { answers: [], posts: [], acks: [], subscriptions: new Map() };
  const sockets = new Map();
  let origin;

  const http = createServer(async (request, response) => {
    const chunks = [];
    for await (const chunk of request) chunks.push(chunk);
    const body = Buffer.concat(chunks);
    const token = /^\/wpush\/v2\/([\w-]+)$/.exec(request.url)?.[1];
    const subscription = service.subscriptions.get(token);
    const end = (status, headers = {}, why = "") => {
      service.posts.push({ token, status, why, headers: request.headers, size: body.length });
      response.writeHead(status, headers).end(why);
    };
    if (request.method !== "POST") return end(405);
    const { ttl, topic, urgency, "content-encoding": encoding, authorization } = request.headers;
    if (!/^\d+$/.test(ttl ?? "")) return end(400, {}, "TTL is missing");
    if (topic !== undefined && !/^[\w-]{1,32}$/.test(topic)) return end(400, {}, `Topic ${topic}`);
    if (urgency !== undefined && !["very-low", "low", "normal", "high"].includes(urgency)) return end(400, {}, `Urgency ${urgency}`);
    if (body.length > MAX_BODY) return end(413);
    if (encoding !== "aes128gcm") return end(400, {}, `Content-Encoding ${encoding}`);
    if (!subscription) return end(404);
    if (subscription.gone) return end(410);
    const refused = refusedVapid(authorization, origin, subscription.key);
    if (refused) return end(403, {}, refused);
    const planned = service.answers.shift();
    if (planned === "hang") return void service.posts.push({ token, status: "hang" });
    if (planned) return end(planned.status, planned.headers);
    const version = randomUUID();
    const socket = sockets.get(subscription.uaid);
    socket?.send(JSON.stringify({ messageType: "notification", channelID: subscription.channelID, version, data: body.toString("base64url"), headers: { encoding: "aes128gcm" } }));
    end(201, { Location: `${origin}/message/${version}`, TTL: "0" });
  });

  new WebSocketServer({ server: http }).on("connection", (socket) => {
    let uaid;
    socket.on("message", (raw) => {
      const said = JSON.parse(raw);
      const answer = (words) => socket.send(JSON.stringify(words));
      switch (said.messageType) {
        case undefined: return answer({});
        case "ping": return answer({ messageType: "ping" });
        case "hello":
          uaid = said.uaid || randomBytes(16).toString("hex");
          sockets.set(uaid, socket);
          return answer({ messageType: "hello", uaid, status: 200, use_webpush: true, broadcasts: {} });
        case "register": {
          const token = randomBytes(48).toString("base64url");
          service.subscriptions.set(token, { uaid, channelID: said.channelID, key: said.key, gone: false });
          return answer({ messageType: "register", channelID: said.channelID, status: 200, pushEndpoint: `${origin}/wpush/v2/${token}` });
        }
        case "unregister":
          for (const one of service.subscriptions.values()) if (one.channelID === said.channelID) one.gone = true;
          return answer({ messageType: "unregister", channelID: said.channelID, status: 200 });
        case "ack": return void service.acks.push(...said.updates);
        default: return undefined;
      }
    });
  });

  await new Promise((resolve) => { http.listen(0, "127.0.0.1", resolve); });
  origin = `http://127.0.0.1:${http.address().port}`;
  return Object.assign(service, {
    origin,
    webSocket: origin.replace("http", "ws"),
    async stop() {
      for (const socket of sockets.values()) socket.terminate();
      http.closeAllConnections();
      await new Promise((resolve) => { http.close(resolve); });
    },
  });
}
