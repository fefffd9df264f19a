import { get } from 'node:http'

/** The JSON at a URL; an error for anything else than a 200. */
export function getJson(url) {
  return new Promise((resolve, reject) => {
    const request = get(url, { timeout: 3000 }, async (response) => {
      const body = (await response.setEncoding('utf8').toArray()).join('')
      if (response.statusCode === 200) resolve(JSON.parse(body))
      else reject(new Error(`${response.statusCode} ${body}`))
    })
    request.on('timeout', () => request.destroy(new Error('no answer within 3 s')))
    request.on('error', reject)
  })
}

/** In a container this is process 1, which the kernel ends only by signals that it handles. */
export function stopOnSignal(server) {
  process.on('SIGTERM', () => {
    server.close()
    server.closeAllConnections()
  })
}
