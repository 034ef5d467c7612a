//! What a run's course depends on: its own settings, which a replay of it needs as well.

use clap::{Args, value_parser};

use crate::evidence::Settings;
use crate::instagram::web::DocIds;

/// How much a run reads, and how often it may try.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Runs")]
pub struct PipelineSettings {
    /// How often a run may be taken up in a row without coming on: its first time, after a wait, after a lost worker
    #[arg(long, env = "IGT_MAX_ATTEMPTS", value_name = "N", default_value_t = 5,
          value_parser = value_parser!(u16).range(1..=1000))]
    pub max_attempts: u16,

    /// How many of an account's latest posts a run reads, and task_details shows
    #[arg(long, env = "IGT_MAX_POSTS", value_name = "N", default_value_t = 60,
          value_parser = value_parser!(u16).range(1..=1000))]
    pub max_posts: u16,

    /// How many of the latest posts every run reads anew for their numbers; where IGT_MAX_POSTS is more, a run stops
    /// behind them at what an earlier one has read
    #[arg(long, env = "IGT_REFRESH_POSTS", value_name = "N", default_value_t = 60,
          value_parser = value_parser!(u16).range(1..=1000))]
    pub refresh_posts: u16,

    /// Every so many-th scan of an account reads all of IGT_MAX_POSTS, so that what was deleted further down is noticed;
    /// 1 reads all every time
    #[arg(long, env = "IGT_FULL_SCAN_EVERY", value_name = "N", default_value_t = 10,
          value_parser = value_parser!(u16).range(1..=1000))]
    pub full_scan_every: u16,
}

/// Which documents of the GraphQL endpoint are asked for.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Instagram")]
pub struct DocumentSettings {
    /// Numbers of the documents that Instagram's GraphQL endpoint is asked for, which change every few weeks: lists such
    /// as posts=1,2;reels=3, of profile, posts, reels, post; they are tried before the known ones
    #[arg(long, env = "IGT_WEB_DOC_IDS", value_name = "LISTS")]
    pub web_doc_ids: Option<DocIds>,
}

/// The two together, for commands that look at what a run left.
#[derive(Args, Clone, Debug)]
pub struct CourseSettings {
    /// How much a run reads.
    #[command(flatten)]
    pub pipeline: PipelineSettings,
    /// Which documents it asks for.
    #[command(flatten)]
    pub documents: DocumentSettings,
}

impl CourseSettings {
    /// The same as a run's evidence has it.
    pub fn settings(&self) -> Settings {
        let PipelineSettings { max_attempts, max_posts, refresh_posts, full_scan_every } = self.pipeline;
        Settings {
            max_posts: usize::from(max_posts),
            refresh_posts: usize::from(refresh_posts),
            full_scan_every: usize::from(full_scan_every),
            max_attempts: i32::from(max_attempts),
            web_doc_ids: self.documents.web_doc_ids.clone().unwrap_or_default(),
        }
    }
}
