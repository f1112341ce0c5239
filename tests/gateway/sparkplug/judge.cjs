// Asks sparkplug-payload, an implementation that shares nothing with ours. One JSON request a line, one answer a line.
//   {"decode": hex}       -> the protobuf message as it is on the wire, integers as strings
//   {"birth": hex}        -> what the library makes of it for its users
//   {"encode": payload}   -> {"hex": bytes that the library writes}
'use strict';
const lines = require('fs').readFileSync(0, 'utf8').split('\n').filter(Boolean);
const { get } = require('sparkplug-payload');
const proto = require('sparkplug-payload/lib/sparkplugPayloadProto.js').org.eclipse.tahu.protobuf.Payload;
const library = get('spBv1.0');

const plain = (value) => JSON.parse(JSON.stringify(value, (key, inner) =>
  inner && typeof inner === 'object' && 'low' in inner && 'high' in inner ? String(inner) : inner));

for (const line of lines) {
  const request = JSON.parse(line);
  let answer;
  if (request.decode !== undefined) {
    const message = proto.decode(Buffer.from(request.decode, 'hex'));
    answer = proto.toObject(message, { longs: String, bytes: String, oneofs: true });
  } else if (request.birth !== undefined) {
    answer = plain(library.decodePayload(Buffer.from(request.birth, 'hex')));
  } else {
    answer = { hex: Buffer.from(library.encodePayload(request.encode)).toString('hex') };
  }
  console.log(JSON.stringify(answer));
}
