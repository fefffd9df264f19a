// Stands between web and store: the only one that is on both networks.
import { createServer } from 'node:http'
import { getJson, stopOnSignal } from './http.mjs'

const server = createServer(async (request, response) => {
  if (request.url === '/health') return response.end('ok\n')
  try {
    const { visits, address } = await getJson('http://store:8080/')
    response.end(JSON.stringify({ visits, store: address, address: ipv4(request.socket) }))
  } catch (error) {
    response.statusCode = 502
    response.end(JSON.stringify({ error: `api asked store: ${error.message}` }))
  }
})
server.listen(8080)
stopOnSignal(server)

/** The address at which the request arrived, without the IPv6 clothing that Node gives it. */
const ipv4 = (socket) => socket.localAddress.replace('::ffff:', '')
