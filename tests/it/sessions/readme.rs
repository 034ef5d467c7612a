//! README.md, typed from its first command to its last at a demo, as who tries the service for the first time types it.

use std::collections::BTreeMap;

use regex::Regex;
use serde_json::Value;
use sqlx::postgres::{PgConnectOptions, PgConnection};
use sqlx::{AssertSqlSafe, Connection as _};

use super::form::form;
use super::terminal::{Step, Terminal, steps_of};
use crate::harness::machine::project;
use crate::harness::{Instagram, call, eventually};
use crate::private_postgres::Scratch;

#[tokio::test]
async fn what_the_readme_has_a_newcomer_type_prints_what_stands_there() {
    let scratch = Scratch::named("data");
    let data_dir = scratch.data_dir();
    let arguments = ["demo", "--delay-ms", "100", "--data-dir", data_dir.to_str().unwrap()];
    let demo = call(&arguments, &[("IGT_BIND", "127.0.0.1:0")]);
    demo.says("Ctrl-C stops it.").await;
    let said = demo.said();
    let address = |before: &str| {
        let address = Regex::new(&format!(r"{before}(http://[0-9.:]+)")).unwrap();
        address.captures(&said).unwrap_or_else(|| panic!("{before}: {said}"))[1].to_owned()
    };
    let service = address("curl ");
    let instagram = Instagram::running_at(address(r"invented Instagram \("));

    let terminal = Terminal::new();
    let readme = std::fs::read_to_string(project("README.md")).unwrap();
    let steps = steps_of(&readme);
    assert!(steps.len() > 15, "{} commands", steps.len());
    // Columns are as wide as what stands in them.
    let spaces = Regex::new(" +").unwrap();
    let mut variables = BTreeMap::new();
    for Step { command, prints } in &steps {
        let typed = command.replace("http://127.0.0.1:8080", &service);
        let typed = typed.replace("/var/lib/ig-tracking", data_dir.to_str().unwrap());
        if let Some((name, _)) = command.split_once('=').filter(|(name, _)| !name.contains(' ')) {
            variables.insert(name, typed[name.len() + 1..].trim_matches('\'').to_owned());
            continue;
        }
        if let Some(question) = typed.strip_prefix("psql \"$db\" -c \"") {
            let told = answer(&variables["db"], question.trim_end_matches('"')).await;
            assert_eq!(told, of_a_table(prints), "$ {command}");
            continue;
        }
        prepare(&instagram, &terminal, &variables, command).await;
        let printed = terminal.prints(&typed, &variables).await;
        let [now, then] = [&printed, prints].map(|text| form(&spaces.replace_all(text, " ")));
        assert!(now.is_like(&then), "$ {command}\n{printed}\nstands as\n{prints}\n{now:#?}\n{then:#?}");
    }
}

/// Lets pass what passes between this command and the one before it.
async fn prepare(instagram: &Instagram, terminal: &Terminal, variables: &BTreeMap<&str, String>, command: &str) {
    let account = "aurora.kitchen";
    if command.contains("-X POST $base/force_scrape/task_123") && !command.contains("http_code") {
        // Its first status is of a run that has read two pages.
        instagram.hold(account, 2).await;
    } else if command.contains("task_status/task_123?logs_count=3") {
        instagram.holds_one(account).await;
    } else if let Some(rest) = command.split("/task_status/").nth(1).filter(|rest| rest.contains("logs_count=1")) {
        instagram.let_go(account).await;
        let task = rest.split('?').next().unwrap();
        eventually(&format!("task {task} has ended"), async || {
            let status = terminal.prints(&format!("curl -s $base/task_status/{task}"), variables).await;
            let status: Value = serde_json::from_str(&status).unwrap();
            (status["response"]["is_processing"] == false).then_some(())
        })
        .await;
    }
}

/// A row, by the names of its columns, without when it was.
type Row = BTreeMap<String, String>;

/// What Postgres answers to a question.
async fn answer(db: &str, question: &str) -> Vec<Row> {
    let word = |name: &str| {
        let words = db.split(' ').find_map(|word| word.strip_prefix(&format!("{name}=")));
        words.unwrap_or_else(|| panic!("{name} is not in {db:?}"))
    };
    let options = PgConnectOptions::new_without_pgpass();
    let options = options.socket(word("host")).username(word("user")).database(word("dbname"));
    let mut connection = PgConnection::connect_with(&options).await.unwrap();
    let rows = AssertSqlSafe(format!("select to_jsonb(asked) from ({question}) asked"));
    let rows: Vec<Value> = sqlx::query_scalar(rows).fetch_all(&mut connection).await.unwrap();
    let text = |(name, value): (&String, &Value)| (name.clone(), value.as_str().unwrap_or_default().to_owned());
    rows.iter().map(|row| without_time(row.as_object().unwrap().iter().map(text).collect())).collect()
}

/// The rows of a table as psql prints it.
fn of_a_table(printed: &str) -> Vec<Row> {
    let cells = |line: &str| line.split('|').map(|cell| cell.trim().to_owned()).collect::<Vec<_>>();
    let (head, rows) = printed.split_once('\n').unwrap();
    let rows = rows.lines().filter(|line| line.contains('|'));
    rows.map(|row| without_time(cells(head).into_iter().zip(cells(row)).collect())).collect()
}

fn without_time(mut row: Row) -> Row {
    row.retain(|column, _| !column.ends_with("_at"));
    row
}
