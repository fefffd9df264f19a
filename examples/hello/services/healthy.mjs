// The health check of all three: exit status 0 when the service beside it answers.
import { get } from 'node:http'

const verdict = (healthy) => process.exit(healthy ? 0 : 1)
get('http://127.0.0.1:8080/health', ({ statusCode }) => verdict(statusCode === 200)).on(
  'error',
  () => verdict(false),
)
