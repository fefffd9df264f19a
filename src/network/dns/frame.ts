import type { Socket } from 'node:net'

/** DNS over TCP (RFC 1035, section 4.2.2): each message has its length before it, in two bytes. */
export function frame(message: Buffer): Buffer {
  const length = Buffer.alloc(2)
  length.writeUInt16BE(message.length)
  return Buffer.concat([length, message])
}

/** Tell of each whole message; never holds more than one and what came with it. */
export function readFrames(socket: Socket, onMessage: (message: Buffer) => void): void {
  let held: Buffer = Buffer.alloc(0)
  socket.on('data', (chunk: Buffer) => {
    held = held.length === 0 ? chunk : Buffer.concat([held, chunk])
    while (held.length >= 2) {
      const end = 2 + held.readUInt16BE(0)
      if (held.length < end) return
      onMessage(held.subarray(2, end))
      held = held.subarray(end)
    }
  })
}
