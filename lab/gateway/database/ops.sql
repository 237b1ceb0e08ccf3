-- The guarded operations of the database. The gateway installs them when it connects; they are there only when
-- that part of the lab is switched on. Nothing here grants the role `ops` anything but to look and to ask.

CREATE SCHEMA ops;

-- asked ──► taken ──► acted ──► answered        taken: the gateway has it. acted: it was carried out (this row and
--   │         └─ refused, rehearsed ──┘          the deed are one transaction). withdrawn: nobody took it in time,
--   └► withdrawn ──► missed ──► answered         and nobody will. missed: the gateway writes that down.
-- draft: the audit record of what was carried out, for the case that the gateway dies before it is on disk.
CREATE TABLE ops.requests (
    number        bigint GENERATED ALWAYS AS IDENTITY,
    id            uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    verb          text NOT NULL CHECK (verb IN ('terminate', 'cancel')),
    pid           integer NOT NULL,
    backend_start timestamptz,
    reason        text NOT NULL,
    incident      text NOT NULL,
    dry_run       boolean NOT NULL,
    client        text NOT NULL,
    requested_at  timestamptz NOT NULL DEFAULT clock_timestamp(),
    expires_at    timestamptz NOT NULL,
    state         text NOT NULL DEFAULT 'asked'
                  CHECK (state IN ('asked', 'withdrawn', 'missed', 'taken', 'acted', 'answered')),
    draft         text,
    decision      text,
    done          boolean,
    message       text
);
CREATE INDEX requests_open ON ops.requests (number) WHERE state <> 'answered';

-- Sessions of this database, as its superuser sees them.
CREATE FUNCTION ops.sessions()
RETURNS TABLE (
    pid integer, datname text, usename text, application_name text, client_addr text, backend_type text,
    state text, wait_event_type text, wait_event text, backend_start timestamptz, xact_start timestamptz,
    query_start timestamptz, state_change timestamptz, transaction_seconds double precision,
    state_seconds double precision, blocked_by integer[], query text
)
LANGUAGE sql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
    SELECT a.pid, a.datname, a.usename, a.application_name, host(a.client_addr), a.backend_type,
           a.state, a.wait_event_type, a.wait_event, a.backend_start, a.xact_start, a.query_start, a.state_change,
           extract(epoch FROM clock_timestamp() - a.xact_start),
           extract(epoch FROM clock_timestamp() - a.state_change),
           CASE WHEN a.wait_event_type = 'Lock' THEN pg_blocking_pids(a.pid) ELSE '{}' END,
           left(a.query, 200)
      FROM pg_stat_activity a
     WHERE a.datname = current_database()
$$;

CREATE VIEW ops.activity AS SELECT * FROM ops.sessions();

-- One row per root and session behind it: `root` blocks others and waits for nobody. The root's own row has no
-- blocked_by. `blocks`: how many sessions wait for this one.
CREATE VIEW ops.blocking_tree AS
WITH RECURSIVE known AS MATERIALIZED (
    SELECT * FROM ops.sessions()
), edges AS MATERIALIZED (
    SELECT DISTINCT known.pid, blocker FROM known, unnest(known.blocked_by) AS blocker
), reached (root, pid) AS (
    SELECT blocker, blocker FROM edges WHERE blocker NOT IN (SELECT pid FROM edges)
    UNION
    SELECT reached.root, edges.pid FROM reached JOIN edges ON edges.blocker = reached.pid
)
SELECT reached.root, reached.pid,
       (SELECT count(*) FROM edges WHERE edges.blocker = reached.pid) AS blocks,
       known.blocked_by, known.datname, known.usename, known.application_name, known.client_addr, known.state,
       known.wait_event_type, known.wait_event, known.backend_start, known.xact_start, known.query_start,
       known.transaction_seconds, known.state_seconds, known.query
  FROM reached LEFT JOIN known USING (pid)
 ORDER BY reached.root, known.xact_start;

-- Write a request down. It counts when the transaction commits. The target is who has this pid now: a later
-- session with the same pid is another one.
CREATE FUNCTION ops.request(
    verb text, pid integer, reason text DEFAULT '', incident text DEFAULT '', dry_run boolean DEFAULT false
) RETURNS uuid
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    made uuid;
BEGIN
    IF request.verb IS NULL OR request.verb NOT IN ('terminate', 'cancel') OR request.pid IS NULL THEN
        RAISE EXCEPTION 'the verb must be terminate or cancel, and pid must be given'
            USING ERRCODE = 'invalid_parameter_value', HINT = 'pids are in the view ops.activity';
    END IF;
    IF (SELECT count(*) FROM ops.requests r WHERE r.state <> 'answered') >= 20 THEN
        RAISE EXCEPTION '20 requests wait for an answer already'
            USING ERRCODE = 'configuration_limit_exceeded', HINT = 'wait until they are answered';
    END IF;
    INSERT INTO ops.requests (verb, pid, backend_start, reason, incident, dry_run, client, expires_at)
    VALUES (
        request.verb, request.pid,
        (SELECT a.backend_start FROM pg_stat_activity a WHERE a.pid = request.pid),
        left(coalesce(request.reason, ''), 1000), left(coalesce(request.incident, ''), 500),
        coalesce(request.dry_run, true), current_setting('application_name'),
        clock_timestamp() + interval '3 seconds'
    ) RETURNING id INTO made;
    PERFORM pg_notify('ops_requests', '');
    RETURN made;
END
$$;

-- How a request stands: pending, allowed, shadowed or refused. One that nobody took in time is withdrawn, for
-- good: whoever reads "refused" can rely on it.
CREATE FUNCTION ops.result(id uuid, OUT decision text, OUT done boolean, OUT message text)
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    state text;
BEGIN
    UPDATE ops.requests r SET state = 'withdrawn'
     WHERE r.id = result.id AND r.state = 'asked' AND r.expires_at <= clock_timestamp();
    SELECT r.state, coalesce(r.decision, 'pending'), coalesce(r.done, false), coalesce(r.message, '')
      INTO state, decision, done, message
      FROM ops.requests r WHERE r.id = result.id;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'there is no request %', result.id
            USING ERRCODE = 'no_data_found', HINT = 'answers are kept for ten minutes';
    END IF;
    IF state IN ('withdrawn', 'missed') THEN
        decision := 'refused';
        message := 'the gateway did not answer in time, so nothing was done; try again when it is back';
    ELSIF state <> 'answered' THEN
        decision := 'pending';
    END IF;
END
$$;

-- Ask, commit, wait. With the caller's own rights: only such a procedure may commit. Inside of a transaction it
-- fails with "invalid transaction termination", and has asked for nothing.
CREATE PROCEDURE ops.ask(
    verb text, pid integer, reason text, incident text, dry_run boolean,
    INOUT decision text, INOUT done boolean, INOUT message text
)
LANGUAGE plpgsql
AS $$
DECLARE
    request uuid;
    tries integer := 0;
BEGIN
    request := ops.request(verb, pid, reason, incident, dry_run);
    COMMIT;
    LOOP
        SELECT r.decision, r.done, r.message INTO decision, done, message FROM ops.result(request) r;
        COMMIT;
        EXIT WHEN decision <> 'pending';
        tries := tries + 1;
        IF tries > 4000 THEN
            message := pg_catalog.format('not answered yet: SELECT * FROM ops.result(%L) tells later', request);
            EXIT;
        END IF;
        PERFORM pg_catalog.pg_sleep(0.005);
    END LOOP;
END
$$;

CREATE PROCEDURE ops.terminate_backend(
    pid integer, reason text DEFAULT '', incident text DEFAULT '', dry_run boolean DEFAULT false,
    INOUT decision text DEFAULT NULL, INOUT done boolean DEFAULT NULL, INOUT message text DEFAULT NULL
)
LANGUAGE plpgsql
AS $$
BEGIN
    CALL ops.ask('terminate', pid, reason, incident, dry_run, decision, done, message);
END
$$;

CREATE PROCEDURE ops.cancel_backend(
    pid integer, reason text DEFAULT '', incident text DEFAULT '', dry_run boolean DEFAULT false,
    INOUT decision text DEFAULT NULL, INOUT done boolean DEFAULT NULL, INOUT message text DEFAULT NULL
)
LANGUAGE plpgsql
AS $$
BEGIN
    CALL ops.ask('cancel', pid, reason, incident, dry_run, decision, done, message);
END
$$;

-- The role, and its rights. PostgreSQL gives much to everybody; all of it that writes, locks or ends something
-- is taken back here. The shop's own role is a superuser and needs no grant.
DO $$
DECLARE
    item record;
BEGIN
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'ops') THEN
        CREATE ROLE ops;
    END IF;
    ALTER ROLE ops LOGIN NOINHERIT NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION NOBYPASSRLS CONNECTION LIMIT 5;
    ALTER ROLE ops SET idle_in_transaction_session_timeout = '10s';
    FOR item IN SELECT datname FROM pg_database LOOP
        EXECUTE format('REVOKE CONNECT, TEMPORARY ON DATABASE %I FROM PUBLIC', item.datname);
    END LOOP;
    EXECUTE format('GRANT CONNECT ON DATABASE %I TO ops', current_database());
    FOR item IN
        SELECT p.oid::regprocedure AS signature FROM pg_proc p
         WHERE p.pronamespace = 'pg_catalog'::regnamespace
           AND p.proname ~ '^(pg_(try_)?advisory_|lo_|lowrite|loread|pg_(terminate|cancel)_backend$|pg_logical_emit_message$)'
    LOOP
        EXECUTE format('REVOKE EXECUTE ON FUNCTION %s FROM PUBLIC', item.signature);
    END LOOP;
END
$$;
REVOKE ALL ON SCHEMA public FROM PUBLIC;
REVOKE USAGE ON LANGUAGE plpgsql FROM PUBLIC;
REVOKE ALL ON ALL FUNCTIONS IN SCHEMA ops FROM PUBLIC;
REVOKE ALL ON ALL PROCEDURES IN SCHEMA ops FROM PUBLIC;
GRANT USAGE ON SCHEMA ops TO ops;
GRANT SELECT ON ops.activity, ops.blocking_tree TO ops;
GRANT EXECUTE ON FUNCTION ops.sessions(), ops.request(text, integer, text, text, boolean), ops.result(uuid) TO ops;
GRANT EXECUTE ON ALL PROCEDURES IN SCHEMA ops TO ops;
