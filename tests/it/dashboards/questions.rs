//! The questions of the document, asked as the role over a history: each is answered, under the names that are shown.

use std::fs;

use regex::Regex;
use sqlx::{AssertSqlSafe, Column as _, Connection as _, PgConnection, Row as _};

use super::history;
use super::role::with_role;
use crate::harness::machine::project;

/// A statement of the document, and the names of the columns that are shown behind it.
#[derive(Debug)]
struct Question {
    sql: String,
    columns: Vec<String>,
}

/// Each `psql "$dashboards" -c "…"` of the document, whose statement may go on in lines with `> ` before them.
fn questions() -> Vec<Question> {
    let document = fs::read_to_string(project("docs/DASHBOARDS.md")).unwrap();
    let (_, questions) = document.split_once("\n## Questions\n").unwrap();
    let (questions, _) = questions.split_once("\n## The views\n").unwrap();
    let asked = questions.split("$ psql \"$dashboards\" -c \"").skip(1).map(|asked| {
        let (statement, shown) = asked.split_once("\"\n").unwrap();
        let sql: Vec<&str> = statement.lines().map(|line| line.strip_prefix("> ").unwrap_or(line)).collect();
        let columns = shown.lines().next().unwrap().split('|').map(|name| name.trim().to_owned()).collect();
        Question { sql: sql.join("\n"), columns }
    });
    asked.collect()
}

#[tokio::test]
async fn every_question_of_the_document_is_answered_for_the_role() {
    let questions = questions();
    let headings = fs::read_to_string(project("docs/DASHBOARDS.md")).unwrap().matches("?\n\n```console").count();
    assert_eq!(questions.len(), headings, "each heading that asks has its statement");
    assert!(headings >= 10, "{headings}");
    let database = history().await;
    with_role(database, async |role: &str| {
        let mut connection = PgConnection::connect(&database.url_of(role)).await.unwrap();
        // The document asks of a longer history: its accounts and days have their like in this one.
        let username = "select username from dashboard.profile_growth where is_observed
                        group by username order by count(*) desc, username limit 1";
        let username: String = sqlx::query_scalar(username).fetch_one(&mut connection).await.unwrap();
        let account = Regex::new(r"username = '[^']+'").unwrap();
        let days = Regex::new(r"day between '[^']+' and '[^']+'").unwrap();
        for Question { sql, columns } in questions {
            let asked = account.replace_all(&sql, format!("username = '{username}'"));
            let asked = days.replace_all(&asked, "day >= now() - interval '10 days'");
            // Of a dozen accounts fewer runs fail in two days than of forty.
            let asked = asked.replace("interval '2 days'", "interval '30 days'");
            let rows = sqlx::query(AssertSqlSafe(asked.as_str())).fetch_all(&mut connection).await;
            let rows = rows.unwrap_or_else(|error| panic!("{error}\n{asked}"));
            let [first, ..] = &rows[..] else { panic!("no rows:\n{asked}") };
            let names: Vec<&str> = first.columns().iter().map(|column| column.name()).collect();
            assert_eq!(names, columns, "{sql}");
        }
        connection.close().await.unwrap();
    })
    .await;
}
