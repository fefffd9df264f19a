// Counts visits in a file on the volume, so that the number outlives this container.
import { readFile, rename, writeFile } from 'node:fs/promises'
import { createServer } from 'node:http'
import { stopOnSignal } from './http.mjs'

const FILE = '/data/visits'
let visits = Number(await readFile(FILE, 'utf8').catch(() => '0'))

const server = createServer(async (request, response) => {
  if (request.url === '/health') return response.end('ok\n')
  visits += 1
  // Written beside and renamed over: a stop in between never leaves half a number.
  await writeFile(`${FILE}.new`, String(visits))
  await rename(`${FILE}.new`, FILE)
  const address = request.socket.localAddress.replace('::ffff:', '')
  response.end(JSON.stringify({ visits, address }))
})
server.listen(8080)
stopOnSignal(server)
