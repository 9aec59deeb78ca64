/** The part of OpenAPI 3.1 that Muster's document uses; see spec.openapis.org for what each word means. */
export interface OpenApi {
  readonly openapi: '3.1.0';
  readonly info: { readonly title: string; readonly version: string; readonly description: string };
  readonly servers: readonly { readonly url: string }[];
  readonly tags: readonly Tag[];
  readonly paths: Readonly<Record<string, PathItem>>;
  readonly components: Components;
}

export interface Tag {
  readonly name: string;
  readonly description: string;
}

/** Operations by their method in lower case. */
export type PathItem = Readonly<Record<string, Operation>>;

export interface Operation {
  readonly operationId: string;
  readonly tags: readonly string[];
  readonly summary: string;
  readonly description?: string;
  readonly deprecated?: true;
  readonly parameters?: readonly (Parameter | Ref)[];
  readonly requestBody?: Content & { readonly required?: true };
  readonly responses: Readonly<Record<string, Response | Ref>>;
  /** The scope that a caller needs. */
  readonly 'x-muster-scope'?: string;
  /** The path of the same method over Connect, gRPC and gRPC-Web. */
  readonly 'x-muster-rpc'?: string;
}

export interface Parameter {
  readonly name: string;
  readonly in: 'path' | 'query' | 'header';
  readonly description?: string;
  readonly required?: true;
  readonly style?: 'simple' | 'form';
  readonly explode?: boolean;
  readonly schema: Schema;
}

export interface Response {
  /** Of one of them. */
  readonly content?: {
    readonly 'application/json'?: { readonly schema: Schema };
    readonly 'text/event-stream'?: { readonly schema: Schema };
    readonly 'text/plain'?: { readonly schema: Schema };
  };
  readonly description: string;
  readonly headers?: Readonly<Record<string, Header | Ref>>;
}

export interface Header {
  readonly description: string;
  readonly schema: Schema;
}

export interface Content {
  readonly content: { readonly 'application/json': { readonly schema: Schema } };
}

export interface Components {
  readonly schemas: Readonly<Record<string, Schema>>;
  readonly responses: Readonly<Record<string, Response>>;
  readonly parameters: Readonly<Record<string, Parameter>>;
  readonly headers: Readonly<Record<string, Header>>;
}

export interface Ref {
  readonly $ref: string;
}

/** JSON Schema 2020-12. One without any word, `{}`, is any JSON. */
export interface Schema {
  readonly $ref?: string;
  readonly type?: string | readonly string[];
  readonly format?: string;
  readonly contentEncoding?: string;
  readonly contentMediaType?: string;
  readonly contentSchema?: Schema | undefined;
  readonly pattern?: string;
  readonly description?: string;
  readonly deprecated?: true;
  readonly enum?: readonly string[];
  readonly const?: string | number;
  readonly minimum?: number;
  readonly maximum?: number;
  readonly items?: Schema;
  readonly properties?: Readonly<Record<string, Schema>>;
  readonly required?: readonly string[];
  readonly additionalProperties?: boolean;
  readonly anyOf?: readonly Schema[];
  readonly allOf?: readonly Schema[];
}
