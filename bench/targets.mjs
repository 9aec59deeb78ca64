// What Muster has to reach against a peer, by the beginning of what is measured and of the peer's name. Unset: for
// information. A hand-written handler takes a connection of a pool for its transaction; the one that pipelines it is there to
// show how far that goes.
const TARGETS = [
  ['REST GET /v1/jobs/{id}, 64', '', 0.85],
  ['REST POST /v1/jobs, 64', 'fastify + pg pool', 2.5],
  ['REST POST /v1/jobs, 1 ', 'fastify + pg pool', 1],
  ['REST GET /api/tasks/{id}', '', 0.85],
  ['REST POST /api/tasks', '', 1.5],
  ['Connect JSON', '', 0.5],
  ['gRPC GetJob, 64', '', 0.5],
  ['drain', 'graphile', 2],
  ['drain', 'pg-boss', 1],
  ['single submits', 'graphile', 2],
  ['single submits', 'pg-boss', 1],
];

export function targetOf(what, peer) {
  return TARGETS.find(([begin, name]) => what.startsWith(begin) && peer.startsWith(name))?.[2];
}
