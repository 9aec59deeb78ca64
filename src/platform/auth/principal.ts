/** What kind of caller it is; which scopes a role has is decided where the roles are composed (app.ts). */
export type Role = 'human' | 'agent' | 'worker' | 'viewer';

/** Who acts. */
export interface Principal {
  readonly kind: Role;
  readonly id: string;
}

/** What a request tells about its caller, whatever transport it came by. */
export interface Credentials {
  /** The Authorization header as sent. */
  readonly authorization: string | undefined;
  /** The address of the other end of the connection. */
  readonly remoteAddress: string | undefined;
}
