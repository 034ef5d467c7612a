-- A hundred events of one run in one statement, as the journal writes them, without its fence.
insert into events (run_id, seq, at, level, event_type, message, fields)
select run_id, seq, now(), 'info', 'posts_fetched',
       'Page ' || seq || ' read: 12 posts of @account.' || (random() * 1e6)::int || ', ' || 12 * seq || ' so far',
       jsonb_build_object('page', seq, 'followers_count', (random() * 1e6)::int, 'scraped_posts_count', 12 * seq)
from (select uuid_v7() as run_id) as run, generate_series(1, 100) as seq;
