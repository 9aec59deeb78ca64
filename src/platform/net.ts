import { BlockList, isIP } from 'node:net';

const loopback = new BlockList();
loopback.addSubnet('127.0.0.0', 8, 'ipv4');
loopback.addAddress('::1', 'ipv6');
// IPv4 callers of a dual-stack socket.
loopback.addSubnet('::ffff:127.0.0.0', 104, 'ipv6');

/** True for an IP address that only this machine can send from. */
export function isLoopback(address: string): boolean {
  // The address of nearly every request; the list below costs a microsecond.
  if (address === '127.0.0.1' || address === '::1') return true;
  const family = isIP(address);
  return family !== 0 && loopback.check(address, family === 4 ? 'ipv4' : 'ipv6');
}

/** True for a name or address under which a server can be bound so that only this machine reaches it. */
export function isLoopbackHost(host: string): boolean {
  return host === 'localhost' || isLoopback(host);
}
