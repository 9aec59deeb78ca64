// Load on a running server, always from another process.

import { runChild } from './child.mjs';

/**
 * HTTP load with autocannon; Connect unary JSON is the same with a POST.
 *
 * @param {{port: number, requests: {method: string, path: string, body?: string, headers?: object}[],
 *   connections: number, seconds: number}} options
 * @returns {Promise<{rate: number, p50: number, p99: number}>} answers per second, latency in ms
 */
export const loadHttp = (options) => runChild('lib/http-driver.mjs', options);

/**
 * Unary gRPC load over several connections.
 *
 * @param {{port: number, service: string, method: string, request: object, concurrency: number, channels: number,
 *   seconds: number, client?: 'frames' | 'grpc-js'}} options client: 'frames' (default) costs next to nothing, 'grpc-js'
 *   is the real thing and slower than most servers. concurrency is a multiple of channels.
 * @returns {Promise<{rate: number, p50: number, p99: number}>} answers per second, latency in ms
 */
export const loadGrpc = ({ client = 'frames', ...options }) =>
  runChild(client === 'frames' ? 'lib/grpc-frames-driver.mjs' : 'lib/grpc-driver.mjs', options);
