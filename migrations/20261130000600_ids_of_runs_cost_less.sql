-- The same ids, made in one expression: the planner puts it in place of the call, where the body before was a query of its
-- own for each row. It may name its argument once only, since the clock tells another time when it is asked again.
--
-- 512/125 of the microseconds since 1970 are the milliseconds and behind them twelve bits of a fraction, as fifteen hex digits;
-- before the last three of them goes the version. The rest, and the variant, is that of a random id.
create or replace function uuid_v7(at timestamptz default clock_timestamp()) returns uuid
language sql parallel safe
as $$
    select (overlay(lpad(to_hex((date_part('epoch', at) * 1000000)::bigint * 512 / 125), 15, '0') placing '7' from 13 for 0)
            || substr(gen_random_uuid()::text, 20))::uuid
$$;
