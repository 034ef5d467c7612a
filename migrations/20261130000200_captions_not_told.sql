-- A post may be met first by an answer that does not tell its caption. The caption that is told later is then no edit.
-- A default that is constant writes no row anew.

alter table media add column caption_told boolean not null default true;
comment on column media.caption_told is 'Whether any answer told its caption, or that it has none. While it is false, caption is null because nobody knows it.';
