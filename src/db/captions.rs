//! The walk over posts whose captions were stored before their hashtags and mentions were kept.

use sqlx::PgExecutor;

use super::media::Tags;

/// A post with its caption.
#[derive(Clone, Debug)]
pub struct Captioned {
    /// The account.
    pub profile_id: i64,
    /// The code of the post.
    pub shortcode: String,
    /// Its caption, where its names are not kept yet.
    pub caption: Option<String>,
    /// Whether they are not.
    pub is_unread: bool,
}

/// The posts that the walk comes to next.
#[derive(Clone, Debug)]
pub struct Page {
    /// The account of the post that it has come to.
    from_profile_id: i64,
    /// The code of that post.
    from_shortcode: String,
    /// Those behind it, read or not; none at the end.
    pub posts: Vec<Captioned>,
}

/// Looks how far the walk is, and at the next so many posts; `None` where it is over.
pub async fn next_page(db: impl PgExecutor<'_>, limit: i64) -> sqlx::Result<Option<Page>> {
    let rows = sqlx::query!(
        r#"
        select walk.profile_id as from_profile_id, walk.shortcode as from_shortcode, m.profile_id as "profile_id?",
               m.shortcode as "shortcode?", m.caption, m.is_unread as "is_unread?"
        from caption_walk walk
        left join lateral (
            select profile_id, shortcode, case when hashtags is null then caption end as caption,
                   hashtags is null as is_unread
            from media
            where (profile_id, shortcode) > (walk.profile_id, walk.shortcode)
            order by profile_id, shortcode
            limit $1
        ) as m on true
        where walk.finished_at is null
        order by m.profile_id, m.shortcode
        "#,
        limit,
    )
    .fetch_all(db)
    .await?;
    let mut page = None;
    for row in rows {
        let (from_profile_id, from_shortcode) = (row.from_profile_id, row.from_shortcode);
        let page = page.get_or_insert(Page { from_profile_id, from_shortcode, posts: Vec::new() });
        if let (Some(profile_id), Some(shortcode), Some(is_unread)) = (row.profile_id, row.shortcode, row.is_unread) {
            page.posts.push(Captioned { profile_id, shortcode, caption: row.caption, is_unread });
        }
    }
    Ok(page)
}

/// Keeps what the captions of a page name, in their order, and moves the walk on to its end; says of how many posts
/// something was written. `None` where the walk has moved on meanwhile: then nothing was. What a run has written meanwhile
/// stays.
pub async fn keep(db: impl PgExecutor<'_>, page: &Page, tags: &[Tags]) -> sqlx::Result<Option<i64>> {
    let unread: Vec<(&Captioned, [String; 2])> = page
        .posts
        .iter()
        .zip(tags)
        .filter(|(post, _)| post.is_unread)
        .map(|(post, tags)| (post, tags.joined()))
        .collect();
    let last = page.posts.last();
    let done = sqlx::query!(
        r#"
        with moved as (
            update caption_walk
            set profile_id = coalesce($3, profile_id), shortcode = coalesce($4, shortcode),
                finished_at = case when $3::bigint is null then now() end
            where finished_at is null and profile_id = $1 and shortcode = $2
            returning true
        ), locked as (
            -- In the order in which runs lock posts.
            select m.profile_id, m.shortcode, f.hashtags, f.mentions
            from unnest($5::bigint[], $6::text[], $7::text[], $8::text[], $9::text[])
                as f (profile_id, shortcode, caption, hashtags, mentions)
            join media m on m.profile_id = f.profile_id and m.shortcode = f.shortcode
            where exists (select from moved) and m.hashtags is null and m.caption is not distinct from f.caption
            order by m.profile_id, m.shortcode
            for no key update of m
        ), written as (
            update media m
            set hashtags = string_to_array(l.hashtags, ' '), mentions = string_to_array(l.mentions, ' ')
            from locked l
            where m.profile_id = l.profile_id and m.shortcode = l.shortcode
            returning true
        )
        select exists (select from moved) as "has_moved!", (select count(*) from written) as "written!"
        "#,
        page.from_profile_id,
        page.from_shortcode,
        last.map(|post| post.profile_id),
        last.map(|post| post.shortcode.as_str()),
        &column(&unread, |(post, _)| post.profile_id),
        &column(&unread, |(post, _)| post.shortcode.clone()),
        &column(&unread, |(post, _)| post.caption.clone()) as &[Option<String>],
        &column(&unread, |(_, tags)| tags[0].clone()),
        &column(&unread, |(_, tags)| tags[1].clone()),
    )
    .fetch_one(db)
    .await?;
    Ok(done.has_moved.then_some(done.written))
}

fn column<T, C>(rows: &[T], value: impl Fn(&T) -> C) -> Vec<C> {
    rows.iter().map(value).collect()
}
