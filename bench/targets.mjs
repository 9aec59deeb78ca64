// What Muster has to reach against a peer, by the beginning of what is measured and of the peer's name. Unset: for
// information.
const TARGETS = [
  ['REST GET /v1/jobs/{id}, 64', '', 0.85],
  ['REST POST /v1/jobs, 64', '', 2.5],
  ['REST POST /v1/jobs, 1 ', '', 1],
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
