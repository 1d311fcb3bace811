import { z } from 'zod';

const bind = z.object({
  type: z.literal('bind'),
  source: z.string(),
  target: z.string(),
  read_only: z.boolean().optional(),
});
export const service = z.object({
  image: z.string(),
  build: z.string().optional(),
  pull_policy: z.string().optional(),
  command: z.array(z.string()).optional(),
  restart: z.string(),
  environment: z.record(z.string(), z.string()).default({}),
  user: z.string().optional(),
  read_only: z.literal(true),
  cap_drop: z.tuple([z.literal('ALL')]),
  cap_add: z.array(z.string()).default([]),
  security_opt: z.tuple([z.literal('no-new-privileges:true')]),
  secrets: z.array(z.string()).default([]),
  volumes: z.array(z.union([z.string(), bind])).default([]),
  ports: z.array(z.string()).default([]),
  depends_on: z.record(z.string(), z.object({ condition: z.string() })).default({}),
  healthcheck: z.object({ test: z.array(z.string()).min(2) }),
});
const secrets = z.record(z.string(), z.strictObject({ file: z.string() }));
export const composeFile = z.object({
  services: z.record(z.string(), service),
  secrets,
  volumes: z.record(z.string(), z.null()),
});

/** What compose.postgres.yaml puts on top of the roles. */
export const overlaid = service.pick({ environment: true, secrets: true, depends_on: true }).strict();
export const overlay = z.object({
  secrets,
  services: z.record(z.string(), z.unknown()),
  volumes: z.record(z.string(), z.null()),
});

const permission = z.strictObject({
  user: z.string(),
  vhost: z.string(),
  configure: z.string(),
  write: z.string(),
  read: z.string(),
});
export const definitions = z.strictObject({
  vhosts: z.array(z.strictObject({ name: z.string() })),
  users: z.array(z.strictObject({ name: z.string(), password: z.string(), tags: z.string() })),
  permissions: z.array(permission),
});
