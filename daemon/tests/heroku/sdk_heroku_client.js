// A way through the API with heroku-client: node sdk_heroku_client.js URL TOKEN.
'use strict'

const assert = require('node:assert')
const readline = require('node:readline')
const Heroku = require('heroku-client')

async function main () {
  const heroku = new Heroku({ host: process.argv[2], token: process.argv[3] })
  const app = await heroku.post('/apps', { body: { name: 'nodule' } })
  assert.strictEqual(app.name, 'nodule')
  console.log('created')
  await heroku.patch('/apps/nodule/config-vars', { body: { COLOUR: 'red' } })
  assert.strictEqual((await heroku.get('/apps/nodule/config-vars')).COLOUR, 'red')
  console.log('configured')
  await new Promise(resolve => readline.createInterface({ input: process.stdin }).once('line', resolve))
  const formation = await heroku.patch('/apps/nodule/formation/worker', { body: { quantity: 2 } })
  assert.strictEqual(formation.quantity, 2)
  const releases = await heroku.get('/apps/nodule/releases')
  assert(releases.some(release => release.description.includes('COLOUR')))
  await heroku.post('/apps/nodule/collaborators', { body: { user: 'friend@example.com' } })
  assert.strictEqual((await heroku.get('/apps/nodule/collaborators')).length, 2)
  await heroku.delete('/apps/nodule/collaborators/friend@example.com')
  await heroku.post('/apps/nodule/domains', { body: { hostname: 'nodule.example.com', sni_endpoint: null } })
  assert((await heroku.get('/apps/nodule/domains')).some(domain => domain.hostname === 'nodule.example.com'))
  await heroku.delete('/apps/nodule/domains/nodule.example.com')
  await heroku.delete('/apps/nodule')
  await assert.rejects(heroku.get('/apps/nodule'), error => error.statusCode === 404 && error.body.id === 'not_found')
  console.log('done')
  process.exit(0)
}

main().catch(error => { console.error(error); process.exit(1) })
