//! Every panel of the dashboards, asked as Grafana asks it: by the role, over a history, with its macros expanded.

use std::collections::BTreeSet;
use std::fs;

use regex::{Captures, Regex};
use serde_json::Value;
use sqlx::{AssertSqlSafe, Column as _, Connection as _, PgConnection, Row as _, TypeInfo as _};

use super::history;
use super::role::with_role;
use crate::harness::machine::{self, project};

/// A statement of a dashboard.
struct Asked {
    /// Dashboard and panel.
    of: String,
    sql: String,
    is_series: bool,
}

/// The dashboards by file name.
fn dashboards() -> Vec<(String, Value)> {
    let files = fs::read_dir(project("dashboards")).unwrap().map(|entry| entry.unwrap().path());
    let files = files.filter(|path| path.extension().is_some_and(|extension| extension == "json"));
    let read = |path: std::path::PathBuf| {
        let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
        (name, serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap())
    };
    let found: Vec<_> = files.map(read).collect();
    let names: BTreeSet<&str> = found.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, BTreeSet::from(["failures", "operations", "profile", "reels"]));
    found
}

fn statements() -> Vec<Asked> {
    let mut all = Vec::new();
    for (name, dashboard) in dashboards() {
        for variable in dashboard["templating"]["list"].as_array().unwrap() {
            let of = format!("{name}, variable {}", variable["name"]);
            all.push(Asked { of, sql: variable["query"].as_str().unwrap().to_owned(), is_series: false });
        }
        for panel in dashboard["panels"].as_array().unwrap() {
            let targets = panel["targets"].as_array().unwrap();
            assert!(!targets.is_empty(), "{panel:#}");
            for target in targets {
                assert_eq!(target["datasource"]["uid"], "ig-tracking", "{panel:#}");
                let (sql, is_series) =
                    (target["rawSql"].as_str().unwrap().to_owned(), target["format"] == "time_series");
                all.push(Asked { of: format!("{name}, {}", panel["title"]), sql, is_series });
            }
        }
    }
    assert!(all.len() > 30, "{}", all.len());
    all
}

/// What Grafana puts in the place of its macros and variables, for a range of days up to now.
fn expanded(sql: &str, days: u32, username: &str) -> String {
    let (from, to) = (format!("(now() - interval '{days} days')"), "now()");
    let filter = Regex::new(r"\$__timeFilter\((\w+)\)").unwrap();
    let sql = filter.replace_all(sql, |found: &Captures<'_>| format!("{} BETWEEN {from} AND {to}", &found[1]));
    let sql = sql.replace("$__timeFrom()", &from).replace("$__timeTo()", to);
    let sql = sql.replace("$__interval_ms", "3600000").replace("${username:sqlstring}", &format!("'{username}'"));
    assert!(!sql.contains('$'), "{sql}");
    sql
}

const NUMBERS: [&str; 6] = ["INT2", "INT4", "INT8", "FLOAT4", "FLOAT8", "NUMERIC"];

#[tokio::test]
async fn every_panel_has_rows_of_the_right_types_for_the_role_that_grafana_has() {
    let database = history().await;
    with_role(database, async |role: &str| {
        let mut connection = PgConnection::connect(&database.url_of(role)).await.unwrap();
        // An account that is read to this day, has reels and hides nothing.
        let username = "select p.username from dashboard.profiles p
                        join dashboard.reel_velocity v using (profile_id) join dashboard.engagement e using (profile_id)
                        where p.last_seen_at > now() - interval '1 day' and e.on_plays is not null
                        group by p.username order by count(distinct v.shortcode) desc, p.username limit 1";
        let username: String = sqlx::query_scalar(username).fetch_one(&mut connection).await.unwrap();
        for Asked { of, sql, is_series } in statements() {
            let sql = expanded(&sql, 30, &username);
            let rows = sqlx::query(AssertSqlSafe(sql.as_str())).fetch_all(&mut connection).await;
            let rows = rows.unwrap_or_else(|error| panic!("{of}: {error}\n{sql}"));
            // What is active at the moment is nothing in a history that is over.
            let [first, ..] = &rows[..] else {
                assert!(of.contains("Active now"), "{of} has no rows:\n{sql}");
                continue;
            };
            let kinds: Vec<_> =
                first.columns().iter().map(|column| (column.name(), column.type_info().name())).collect();
            if is_series {
                assert_eq!(kinds[0], ("time", "TIMESTAMPTZ"), "{of}");
                let values = kinds.iter().skip(1).filter(|(name, _)| *name != "metric");
                assert!(values.clone().count() > 0, "{of}");
                assert!(values.clone().all(|(_, kind)| NUMBERS.contains(kind)), "{of}: {kinds:?}");
                let metric = kinds.iter().find(|(name, _)| *name == "metric");
                assert!(metric.is_none_or(|(_, kind)| *kind == "TEXT"), "{of}: {kinds:?}");
            }
            let all_null = rows.iter().all(|row| {
                (0..kinds.len())
                    .filter(|n| NUMBERS.contains(&kinds[*n].1))
                    .all(|n| sqlx::ValueRef::is_null(&row.try_get_raw(n).unwrap()))
            });
            let has_numbers = kinds.iter().any(|(_, kind)| NUMBERS.contains(kind));
            assert!(!has_numbers || !all_null, "{of} tells no number:\n{sql}");
        }
        connection.close().await.unwrap();
    })
    .await;
}

#[test]
fn panels_have_names_units_of_grafana_and_places_that_do_not_overlap() {
    for (name, dashboard) in dashboards() {
        let panels = dashboard["panels"].as_array().unwrap();
        let place = |panel: &Value, of: &str| panel["gridPos"][of].as_u64().unwrap();
        let mut taken = BTreeSet::new();
        for panel in panels {
            assert!(!panel["title"].as_str().unwrap().is_empty());
            for x in place(panel, "x")..place(panel, "x") + place(panel, "w") {
                for y in place(panel, "y")..place(panel, "y") + place(panel, "h") {
                    assert!(x < 24 && taken.insert((x, y)), "{name}, {}", panel["title"]);
                }
            }
        }
        let ids: BTreeSet<_> = panels.iter().map(|panel| panel["id"].as_u64().unwrap()).collect();
        assert_eq!(ids.len(), panels.len(), "{name}");
    }
}

/// A file of YAML below the project.
async fn yaml(path: &str) -> Value {
    let mut python = machine::python_with("schemathesis");
    python.args(["-c", "import json, sys, yaml; print(json.dumps(yaml.safe_load(sys.stdin)))"]);
    let text = fs::read_to_string(project(path)).unwrap();
    serde_json::from_str(&machine::run(python, &text).await.ok()).unwrap()
}

#[tokio::test]
async fn docker_compose_gives_grafana_the_role_the_dashboards_and_their_source() {
    let compose = yaml("docker-compose.yml").await;
    let services = compose["services"].as_object().unwrap();
    let behind_a_profile: Vec<&str> = services
        .iter()
        .filter(|(_, service)| service["profiles"][0] == "dashboards")
        .map(|(name, _)| name.as_str())
        .collect();
    assert_eq!(behind_a_profile, ["dashboard-role", "grafana"], "nothing more is started for who asks for none");
    let (role, grafana) = (&services["dashboard-role"], &services["grafana"]);
    assert_eq!(role["command"], serde_json::json!(["dashboard-role"]));
    assert_eq!(role["environment"]["DATABASE_URL"], services["ig-tracking"]["environment"]["DATABASE_URL"]);
    assert_eq!(role["environment"]["IGT_DASHBOARD_PASSWORD"], grafana["environment"]["DASHBOARD_PASSWORD"]);
    assert_eq!(grafana["depends_on"]["dashboard-role"]["condition"], "service_completed_successfully");
    for port in services.values().filter_map(|service| service["ports"].as_array()).flatten() {
        assert!(port.as_str().unwrap().starts_with("127.0.0.1:"), "{port} is for this machine alone");
    }
    // What is mounted is there, and where Grafana looks for it.
    let mounted: Vec<&str> =
        grafana["volumes"].as_array().unwrap().iter().map(|volume| volume.as_str().unwrap()).collect();
    assert!(mounted.contains(&"./dashboards/provisioning:/etc/grafana/provisioning:ro"), "{mounted:?}");
    let provider = yaml("dashboards/provisioning/dashboards/ig-tracking.yaml").await;
    let path = provider["providers"][0]["options"]["path"].as_str().unwrap();
    assert!(mounted.contains(&format!("./dashboards:{path}:ro").as_str()), "{mounted:?}");
    let source = yaml("dashboards/provisioning/datasources/ig-tracking.yaml").await["datasources"][0].take();
    assert_eq!((&source["uid"], &source["user"]), (&"ig-tracking".into(), &"ig_dashboard".into()));
    for variable in [
        &source["url"],
        &source["jsonData"]["database"],
        &source["jsonData"]["sslmode"],
        &source["secureJsonData"]["password"],
    ] {
        let name = variable.as_str().unwrap().strip_prefix('$').unwrap();
        assert!(grafana["environment"].get(name).is_some(), "{name} is not set");
    }
    for (name, dashboard) in dashboards() {
        for panel in dashboard["panels"].as_array().unwrap() {
            assert_eq!(panel["datasource"]["type"], source["type"], "{name}");
        }
    }
}
