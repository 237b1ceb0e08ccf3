-- The shop's database. Every statement may run again on a database that has it already.

CREATE SCHEMA IF NOT EXISTS shop;
CREATE SCHEMA IF NOT EXISTS chaos;

-- One row per partition of the queue. `holder` is the pod that works on it while its lease lasts;
-- `share` is the part of all orders that customers send there (0 to 1).
CREATE TABLE IF NOT EXISTS shop.partitions (
    partition     integer PRIMARY KEY,
    share         double precision NOT NULL,
    holder        text,
    lease_expires timestamptz NOT NULL DEFAULT '-infinity'
);

-- Orders are the queue: one that is not confirmed waits for the worker of its partition. `attempts` counts
-- how often working on it has failed; `product` is what was bought, as the worker that confirmed it looked up,
-- and `confirmed_at` is when, by that worker's clock.
CREATE TABLE IF NOT EXISTS shop.orders (
    id            bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    partition     integer NOT NULL REFERENCES shop.partitions,
    customer      text NOT NULL,
    amount_cents  bigint NOT NULL CHECK (amount_cents > 0),
    authorization_code text NOT NULL,
    created_at    timestamptz NOT NULL DEFAULT clock_timestamp(),
    confirmed_at  timestamptz,
    confirmed_by  text,
    product       integer,
    attempts      integer NOT NULL DEFAULT 0
);
CREATE INDEX IF NOT EXISTS orders_waiting ON shop.orders (partition, id) WHERE confirmed_at IS NULL;
CREATE INDEX IF NOT EXISTS orders_confirmed ON shop.orders (confirmed_at) WHERE confirmed_at IS NOT NULL;

-- Orders that somebody has moved aside, because working on them failed again and again.
CREATE TABLE IF NOT EXISTS shop.dead_letters (
    id            bigint PRIMARY KEY,
    partition     integer NOT NULL,
    customer      text NOT NULL,
    amount_cents  bigint NOT NULL,
    authorization_code text NOT NULL,
    created_at    timestamptz NOT NULL,
    attempts      integer NOT NULL,
    reason        text NOT NULL,
    set_aside_at  timestamptz NOT NULL DEFAULT clock_timestamp()
);

-- What the fault injector asks of the shop's programs. Of a worker by pod, so that a restart cures it, or by
-- partition, so that it does not; of all pods of a service by its name. It bites until `expires_at`,
-- and is `done` when its victim is through with it.
CREATE TABLE IF NOT EXISTS chaos.directives (
    id         text PRIMARY KEY,
    mode       text NOT NULL CHECK (mode IN (
        'hang', 'slow', 'leak', 'cold-cache', 'clock-skew', 'fill-disk',
        'latency', 'errors', 'silence', 'outage', 'slow-start'
    )),
    pod        text,
    partition  integer,
    service    text,
    parameters jsonb NOT NULL DEFAULT '{}',
    created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    expires_at timestamptz NOT NULL DEFAULT 'infinity',
    done       boolean NOT NULL DEFAULT false,
    CHECK (num_nonnulls(pod, partition, service) = 1)
);

-- What is sold, at which price the shop opened, and each change of a price since (a factor). Made again when
-- lost, hence unlogged. Numbers, not random(): the same everywhere.
CREATE UNLOGGED TABLE IF NOT EXISTS shop.products (
    product       integer PRIMARY KEY,
    opening_cents bigint NOT NULL,
    snapshot_at   timestamptz NOT NULL DEFAULT clock_timestamp()
);
CREATE UNLOGGED TABLE IF NOT EXISTS shop.price_changes (
    product integer NOT NULL,
    number  integer NOT NULL,
    factor  double precision NOT NULL
);
-- How often workers have taken the price list that follows from these. One row.
CREATE UNLOGGED TABLE IF NOT EXISTS shop.price_list (
    id    integer PRIMARY KEY CHECK (id = 1),
    taken bigint NOT NULL DEFAULT 0
);
INSERT INTO shop.price_list (id) VALUES (1) ON CONFLICT DO NOTHING;
INSERT INTO shop.price_changes
SELECT product, number, 0.97 + 0.06 * ((product * 7919 + number * 104729) % 1000) / 1000
FROM generate_series(1, 200) product, generate_series(1, 80) number
WHERE NOT EXISTS (SELECT FROM shop.products);
INSERT INTO shop.products (product, opening_cents)
SELECT product, 300 + product * 7919 % 19700 FROM generate_series(1, 200) product
ON CONFLICT DO NOTHING;
