-- What the runs said and asked, week by week, so that it lies on the disk in the order in which it happened.
do $$
declare
    week timestamptz;
begin
    for week in select generate_series(since, until, interval '7 days') from history loop
        insert into events (run_id, seq, at, level, event_type, message, fields)
        with r as materialized (
            select r.*, a.username, a.pk, a.page_size, a.is_private, a.is_verified, a.following, a.credential,
                   case when r.drift then null else r.followers_count end as told_followers,
                   jsonb_build_object('scraped_posts_count', case when r.pages > 0 then least(r.pages * a.page_size, r.posts_count, 60) else 0 end)
                   || case when r.has_account then jsonb_build_object('posts_count', r.posts_count, 'followers_count',
                       case when r.drift then null else r.followers_count end) else '{}'::jsonb end
                   || case when r.kind = 'reel' and r.is_whole then jsonb_build_object('reels_count', r.reels,
                       'scraped_reels_count', r.reels) else '{}'::jsonb end as totals
            from run_plan r join account a using (p)
            where requested_at >= week and requested_at < week + interval '7 days'
        )
        select run_id, e.seq, e.at, e.level, e.event_type, e.message, e.fields
        from r cross join lateral (
            select 1 as seq, requested_at as at, 'info' as level, 'scrape_started' as event_type,
                   case when queued > 0 then 'Scrape of @' || username || ' accepted; it begins when a worker is free'
                        else 'Started scraping @' || username end as message,
                   jsonb_build_object('username', username, 'kind', kind, 'trigger',
                       case when pg_temp.dice(key, 50) < 0.01 then 'retry' else 'api' end, 'queued', queued > 0) as fields
            union all
            -- A wait: why and until when, and how the run goes on behind it.
            select 2 * n, started_at + make_interval(secs => (n - 1) * (wait + answer) + answer), 'warning',
                   case kind_of_pair when 'server_error' then 'retry_scheduled' else 'rate_limited' end,
                   case kind_of_pair
                       when 'busy' then 'credential ' || credential || ' has no turn yet; the run goes on in ' || round(wait) || ' s at '
                       when 'throttled' then 'web_profile_info answered 429: Please wait a few minutes before you try again.; try '
                           || n || ' of 5, the next in ' || round(wait) || ' s at '
                       else 'web_profile_info answered 500: Oops, an error occurred.; try ' || n || ' of 5, the next in '
                           || round(wait::numeric, 1) || ' s at '
                   end || to_char(started_at + make_interval(secs => n * (wait + answer)), 'HH24:MI:SS') || ' UTC',
                   jsonb_build_object('reason', case kind_of_pair when 'server_error' then 'upstream_unavailable' else 'rate_limited' end,
                       'attempt', n, 'retry_after_s', ceil(wait),
                       'resume_at', to_char(started_at + make_interval(secs => n * (wait + answer)), 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"'))
                   || case kind_of_pair
                       when 'busy' then jsonb_build_object('cause', 'busy', 'credential', credential, 'source', 'web')
                       else jsonb_build_object('tries', n, 'max_attempts', 5, 'endpoint', 'web_profile_info',
                           'failure', kind_of_pair, 'http_status', case kind_of_pair when 'throttled' then 429 else 500 end,
                           'upstream_message', case kind_of_pair when 'throttled'
                               then 'Please wait a few minutes before you try again.' else 'Oops, an error occurred.' end)
                   end
            from generate_series(1, pairs) as n
            union all
            select 2 * n + 1, started_at + make_interval(secs => n * (wait + answer)), 'info', 'run_resumed',
                   'Run taken up again, the wait is over; it goes on at stage account',
                   jsonb_build_object('attempt', n + 1, 'after', 'wait', 'stage', 'account', 'scraped_posts_count', 0)
            from generate_series(1, pairs) as n
            union all
            select 2, started_at + interval '30 seconds', 'warning', 'run_resumed',
                   'Run taken up again, its worker was lost; it goes on at stage account',
                   jsonb_build_object('attempt', 2, 'after', 'lost_worker', 'stage', 'account', 'scraped_posts_count', 0)
            where lost
            union all
            select 2, account_at, 'warning', 'upstream_changed',
                   'Instagram''s answer has changed: data.user.edge_followed_by.count should be a count of zero or more, found nothing',
                   jsonb_build_object('path', 'data.user.edge_followed_by.count', 'expected', 'a count of zero or more', 'found', 'nothing')
            where drift
            union all
            select 2 + before, account_at, 'info', 'account_fetched',
                   'Profile data retrieved: @' || username || ' with ' || posts_count || ' posts',
                   jsonb_build_object('username', username, 'followers_count', told_followers, 'following_count', following_count,
                       'posts_count', posts_count, 'is_private', is_private, 'is_verified', is_verified,
                       'duration_ms', round(answer * 1000))
            where has_account
            union all
            select 2 + before + n, account_at + make_interval(secs => (n - 1) * pace + 0.01), 'info', 'posts_fetched',
                   'Page ' || n || ' read: ' || least(page_size, posts_count - (n - 1) * page_size, 60 - (n - 1) * page_size)
                       || ' posts, ' || least(n * page_size, posts_count, 60) || ' so far',
                   jsonb_build_object('page', n, 'page_posts',
                       least(page_size, posts_count - (n - 1) * page_size, 60 - (n - 1) * page_size),
                       'posts_count', posts_count, 'followers_count', told_followers,
                       'scraped_posts_count', least(n * page_size, posts_count, 60),
                       'duration_ms', case n when 1 then 0 else round(1000 * (0.4 + 0.8 * pg_temp.dice(key + n, 51))) end)
            from generate_series(1, pages) as n
            union all
            select 3 + before + pages, account_at + make_interval(secs => (pages - 1) * pace + 0.02), 'info', 'reels_filtered',
                   reels || ' of ' || least(posts_count, 60) || ' posts are reels',
                   jsonb_build_object('reels_count', reels, 'scraped_posts_count', least(posts_count, 60))
            where kind = 'reel' and is_whole
            union all
            select 3 + before + pages + n, account_at + make_interval(secs => (pages - 1 + n) * pace + 0.02), 'info',
                   'processing_reels', 'Reels processed: ' || least(n * 12, reels) || ' of ' || reels,
                   jsonb_build_object('done', least(n * 12, reels), 'total', reels)
            from generate_series(1, reel_pages) as n
            union all
            select 4 + before + pages + reel_pages, finished_at - interval '20 milliseconds', 'info', 'reels_processed',
                   'All ' || reels || ' reels processed', jsonb_build_object('done', reels, 'total', reels, 'missing', '[]'::jsonb)
            where kind = 'reel' and is_whole
            union all
            select last_seq - 1, finished_at - interval '10 milliseconds', 'info', 'profile_data_updated',
                   'Profile data of @' || username || ' updated in the database', totals
            where is_whole
            union all
            select last_seq, finished_at,
                   case state when 'succeeded' then 'info' when 'failed' then 'error' else 'warning' end,
                   case state when 'succeeded' then 'scrape_completed' else 'scrape_' || state end,
                   case state
                       when 'succeeded' then 'Scrape of @' || username || ' completed in '
                           || round(extract(epoch from finished_at - started_at), 1) || ' s: ' || least(posts_count, 60) || ' posts'
                       when 'partial' then 'Scrape ended with a part of what was asked for: ' || replace(last_words, '%', username)
                       when 'failed' then 'Scrape failed: ' || last_words
                       else 'Scrape of @' || username || ' cancelled; what was stored stays'
                   end,
                   totals
                   || case when state <> 'cancelled' then jsonb_build_object('duration_ms',
                       round(extract(epoch from finished_at - started_at) * 1000)) else '{}'::jsonb end
                   || case when state in ('partial', 'failed') then jsonb_build_object('reason', reason,
                       'attempt', 1 + pairs + lost::int) else '{}'::jsonb end
                   || case when last_failure is not null then jsonb_build_object('endpoint', split_part(last_words, ' ', 1),
                       'http_status', last_status, 'failure', last_failure,
                       'upstream_message', split_part(split_part(last_words, ': ', 2), ';', 1)) else '{}'::jsonb end
        ) as e (seq, at, level, event_type, message, fields)
        order by run_id, e.seq;

        insert into run_exchanges (run_id, seq, at, attempt, source, credential, endpoint, method, url, status, duration_ms,
                                   bytes, failure, body)
        with r as materialized (
            select r.*, a.username, a.pk, a.source, a.credential, a.page_size,
                   'https://' || case a.source when 'web' then 'www.instagram.com' else 'graph.facebook.com/v23.0' end as base,
                   case a.source when 'web' then 'web_profile_info' else 'business_discovery' end as first_endpoint,
                   case
                       when a.source = 'graph' then 'business_discovery_media'
                       when a.credential = 'guest' then 'feed'
                       else 'timeline'
                   end as list_endpoint,
                   case when kind_of_pair <> 'busy' then pairs else 0 end as failed_first,
                   r.requested_at >= until - interval '30 days' as has_bodies
            from run_plan r join account a using (p) cross join history
            where requested_at >= week and requested_at < week + interval '7 days'
        )
        select run_id, x.seq, x.at, x.attempt, source, credential, x.endpoint,
               case when x.endpoint in ('timeline', 'clips_user') then 'POST' else 'GET' end,
               base || case x.endpoint
                   when 'web_profile_info' then '/api/v1/users/web_profile_info/?username=' || username
                   when 'feed' then '/api/v1/feed/user/' || pk || '/?count=12&max_id=QVF' || md5(key::text || x.seq) || md5(username)
                   when 'timeline' then '/graphql/query'
                   when 'clips_user' then '/api/v1/clips/user/'
                   else '/17841400000000000?fields=business_discovery.username(' || username || '){id,username,name,biography}'
               end,
               x.status, (x.seconds * 1000)::float8, x.bytes, x.failure,
               case when has_bodies and x.failure is not null then
                   '\x28b52ffd0458b101007b226d657373616765223a224f6f70732c20616e206572726f72206f636375727265642e222c22737461747573223a226661696c227dba6d8498'::bytea
               end
        from r cross join lateral (
            select n as seq, started_at + make_interval(secs => (n - 1) * (wait + answer) + answer) as at, n as attempt,
                   first_endpoint as endpoint, (case kind_of_pair when 'throttled' then 429 else 500 end)::smallint as status,
                   answer as seconds, 54::bigint as bytes, kind_of_pair as failure
            from generate_series(1, failed_first) as n
            union all
            select failed_first + 1, account_at, 1 + pairs + lost::int, first_endpoint, 200::smallint, answer,
                   12000 + floor(3000 * pg_temp.dice(key, 52))::bigint, null
            where has_account
            union all
            select failed_first + n, account_at + make_interval(secs => (n - 1) * pace), 1 + pairs + lost::int, list_endpoint, 200,
                   0.4 + 0.8 * pg_temp.dice(key + n, 51), 16500 + floor(3500 * pg_temp.dice(key + n, 53))::bigint, null
            from generate_series(2, pages) as n
            union all
            select failed_first + pages + n, account_at + make_interval(secs => (pages - 1 + n) * pace), 1 + pairs + lost::int,
                   'clips_user', 200, 0.4 + 0.5 * pg_temp.dice(key + n, 54), 15000 + floor(1500 * pg_temp.dice(key + n, 55))::bigint, null
            from generate_series(1, reel_pages) as n
            union all
            select last_exchange, finished_at, 1 + pairs + lost::int,
                   case when has_account then list_endpoint else first_endpoint end, last_status, answer, 54, last_failure
            where last_failure is not null
        ) as x (seq, at, attempt, endpoint, status, seconds, bytes, failure)
        order by run_id, x.seq;
    end loop;
end $$;
