-- What captions name, where SQL can ask for it. The columns are added without a value, so no row is written anew; what is
-- already there is read by the service, a page of rows at a time (src/maintenance/captions.rs).

alter table media
    add column hashtags text[],
    add column mentions text[];
comment on column media.hashtags is 'The hashtags of the caption in lower case and without their sign, each once and in their order; empty where it has none. Null where the caption was not read for them yet: it is by the next scan that meets the post, or by the walk of caption_walk.';
comment on column media.mentions is 'The handles that the caption mentions, in lower case and without their sign, each once and in their order; empty where it mentions nobody. Null as in hashtags.';

create table caption_walk (
    is_only boolean primary key default true check (is_only),
    profile_id bigint not null default 0,
    shortcode text not null default '',
    finished_at timestamptz
);
comment on table caption_walk is 'How far the captions of posts that were stored before media.hashtags was there are read: one row.';
comment on column caption_walk.is_only is 'True: there is one row.';
comment on column caption_walk.profile_id is 'The account of the post that was read last (media.profile_id).';
comment on column caption_walk.shortcode is 'That post (media.shortcode). Posts are read in the order of both.';
comment on column caption_walk.finished_at is 'When all were read; null before.';

insert into caption_walk (finished_at) select case when not exists (select from media) then now() end;
