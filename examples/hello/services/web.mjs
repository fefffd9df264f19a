// The page: everything on it was fetched just now, over the names that pak's DNS answers.
import { lookup } from 'node:dns/promises'
import { createServer } from 'node:http'
import { networkInterfaces } from 'node:os'
import { getJson, stopOnSignal } from './http.mjs'

const server = createServer(async (request, response) => {
  if (request.url === '/health') return response.end('ok\n')
  try {
    const [api, store] = await Promise.all([getJson('http://api:8080/'), reach('store')])
    response.end(page({ web: ownAddress(), api, store }))
  } catch (error) {
    response.statusCode = 502
    response.end(`web asked api: ${error.message}\n`)
  }
})
server.listen(8080)
stopOnSignal(server)

function page({ web, api, store }) {
  const line = (name, address, how) => `  ${name.padEnd(6)} ${address.padEnd(15)} ${how}`
  return [
    `${process.env.GREETING}! You are visitor ${api.visits}.`,
    '',
    line('web', web, 'answers you; it has GREETING in its environment'),
    line('api', api.address, 'was found by web as "api", on the network front'),
    line('store', api.store, 'was found by api as "store", on the network back'),
    '',
    store,
    '',
  ].join('\n')
}

/** The networks keep apart what the file does not join: `store` is on no network of web's. */
async function reach(name) {
  const giveUp = new Promise((resolve) => setTimeout(resolve, 1000, null))
  const found = await Promise.race([lookup(name).catch(() => null), giveUp])
  return found === null
    ? `And web cannot find "${name}": no network joins them.`
    : `web found "${name}"?!`
}

function ownAddress() {
  const all = Object.values(networkInterfaces()).flat()
  return all.find(({ family, internal }) => family === 'IPv4' && !internal)?.address
}
