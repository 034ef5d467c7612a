//! What goes wrong is told as JSON `{result: false, message}`, whoever notices it: and what went wrong leaves nothing
//! half done.

use std::time::{Duration, Instant};

use reqwest::Method;
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt as _;
use uuid::Uuid;

use crate::harness::{
    Answer, Database, Instagram, MortalServer, Replica, Started, V1, World, assert_sound, eventually,
};

#[tokio::test]
async fn an_unknown_path_is_a_404_in_json() {
    let (_world, replica) = World::with_replica().await;
    for path in ["/", "/nothing", "/codvid-ai/ig-tracking", "/codvid-ai/ig-tracking/nothing"] {
        let message = replica.ask(Method::GET, path, None).await.error(404);
        assert!(message.contains(path), "{message}");
    }
    // An id is one segment of a path, and not none.
    replica.get("/task_status/").await.error(404);
    replica.get("/task_status/a/b").await.error(404);
}

#[tokio::test]
async fn a_wrong_method_is_a_405_that_names_the_right_one() {
    let (_world, replica) = World::with_replica().await;
    for (method, path, allowed) in [
        (Method::GET, "/create_task", "POST"),
        (Method::PUT, "/create_reel_task", "POST"),
        (Method::POST, "/tasks", "GET,HEAD"),
        (Method::GET, "/task/t", "DELETE"),
        (Method::DELETE, "/task_details/t", "GET,HEAD"),
        (Method::GET, "/force_scrape/t", "POST"),
        (Method::PATCH, "/force_scrape_reel/t", "POST"),
        (Method::GET, "/cancel/t", "POST"),
        (Method::POST, "/task_status/t", "GET,HEAD"),
    ] {
        let answer = replica.ask(method, &format!("{V1}{path}"), None).await;
        assert!(answer.error(405).contains(&format!("{V1}{path}")), "{path}");
        assert_eq!(answer.header("allow"), Some(allowed), "{path}");
        assert!(answer.header("link").is_some(), "{path}");
    }
    let answer = replica.ask(Method::POST, "/healthz", None).await;
    answer.error(405);
    assert_eq!(answer.header("allow"), Some("GET,HEAD"));
}

#[tokio::test]
async fn a_body_that_makes_no_task_is_refused_with_the_reason() {
    let (world, replica) = World::with_replica().await;
    let long = "x".repeat(31);
    let cases: &[(&str, &str)] = &[
        ("", "not JSON"),
        ("username=nasa", "not JSON"),
        ("{\"username\": \"nasa\"", "not JSON"),
        ("{\"username\": \"\\ud800\"}", "not JSON"),
        ("[]", "not a JSON object"),
        ("\"nasa\"", "not a JSON object"),
        ("null", "not a JSON object"),
        ("{}", "username is missing"),
        ("{\"username\": null}", "username is missing"),
        ("{\"user\": \"nasa\"}", "username is missing"),
        ("{\"username\": 5}", "username must be a text"),
        ("{\"username\": [\"nasa\"]}", "username must be a text"),
        ("{\"username\": \"\"}", "username is empty"),
        ("{\"username\": \" @ \"}", "username is empty"),
        ("{\"username\": \"https://www.instagram.com/\"}", "username is empty"),
        ("{\"username\": \"two words\"}", "username contains ' '"),
        ("{\"username\": \"nul\\u0000\"}", "username contains '\\0'"),
        ("{\"username\": \"näsa\"}", "username contains 'ä'"),
        (&format!("{{\"username\": \"{long}\"}}"), "username has 31 characters"),
        ("{\"username\": \"https://example.com/nasa\"}", "not an instagram.com address"),
        ("{\"username\": \"https://www.instagram.com/p/CPv3UqsBFvg/\"}", "not an account"),
        ("{\"username\": \"nasa\", \"task_id\": 5}", "task_id must be a text"),
        ("{\"username\": \"nasa\", \"task_id\": \"\"}", "task_id must be 1 to 128 characters"),
        ("{\"username\": \"nasa\", \"task_id\": \"a b\"}", "task_id must be 1 to 128 characters"),
        ("{\"username\": \"nasa\", \"task_id\": \"a/b\"}", "task_id must be 1 to 128 characters"),
    ];
    for (body, reason) in cases {
        for route in ["create_task", "create_reel_task"] {
            let answer = replica.ask(Method::POST, &format!("{V1}/{route}"), Some((*body).to_owned())).await;
            let message = answer.error(400);
            assert!(message.contains(reason), "{body} is answered: {message}");
        }
    }
    let request = b"POST /codvid-ai/ig-tracking/create_task HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\
                    Content-Length: 17\r\n\r\n{\"username\":\"\xff\xfe\"}";
    assert!(replica.raw(request).await.error(400).contains("not JSON"));
    let tasks: i64 = sqlx::query_scalar("select count(*) from tasks").fetch_one(&world.database.pool).await.unwrap();
    assert_eq!(tasks, 0);
}

#[tokio::test]
async fn a_body_is_taken_whatever_its_content_type_says_up_to_64_kib() {
    let (_world, replica) = World::with_replica().await;
    let create = async |bytes: usize| {
        let body = json!({"username": "nasa"}).to_string();
        let request = replica.http.post(format!("{}{V1}/create_task", replica.address));
        let request =
            request.header("content-type", "text/plain").body(format!("{body}{}", " ".repeat(bytes - body.len())));
        let response = request.send().await.unwrap();
        (response.status().as_u16(), response.json::<Value>().await.unwrap())
    };
    assert_eq!(create(64 * 1024).await.0, 200);
    let (status, body) = create(64 * 1024 + 1).await;
    assert_eq!((status, &body["result"]), (413, &json!(false)));
    assert_eq!(body["message"], "The request's body is larger than 65536 bytes");
}

#[tokio::test]
async fn an_id_that_no_task_can_have_is_a_task_that_is_not_there() {
    let (_world, replica) = World::with_replica().await;
    let long = "x".repeat(129);
    for id in [long.as_str(), "a%20b", "a%00b", "%00", "a%2Fb", "%zz", "a%", "é"] {
        replica.get(&format!("/task_details/{id}")).await.error(404);
        replica.post(&format!("/force_scrape/{id}")).await.error(404);
        replica.post(&format!("/cancel/{id}")).await.error(404);
        replica.delete(&format!("/task/{id}")).await.error(404);
        let status = replica.get(&format!("/task_status/{id}")).await.ok();
        assert_eq!(status["response"]["is_processing"], false, "{id}");
    }
    // Bytes that are no text at all cannot be told back.
    for id in ["%ff", "a%c3"] {
        replica.get(&format!("/task_details/{id}")).await.error(400);
        replica.get(&format!("/task_status/{id}")).await.error(400);
    }
    let longest = "x".repeat(128);
    replica.create("create_task", &longest, "nasa").await;
    assert_eq!(replica.get(&format!("/task_details/{longest}")).await.ok()["response"]["task_id"], longest.as_str());
    // An id may be written in a path as any text may.
    replica.create("create_task", "a:b", "nasa").await;
    assert_eq!(replica.get("/task_details/a%3Ab").await.ok()["response"]["task_id"], "a:b");
}

#[tokio::test]
async fn while_the_database_is_away_it_says_so_and_goes_on_when_it_is_back() {
    let mut server = MortalServer::start().await;
    let instagram = Instagram::get().await;
    let replica = Started::new(&server.database_url, &instagram.url, &[]).listening().await;
    replica.create("create_task", "before", "away.anna").await;
    server.kill().await;

    for (method, path, body) in [
        (Method::POST, "/force_scrape/before", None),
        (Method::POST, "/force_scrape_reel/before", None),
        (Method::POST, "/cancel/before", None),
        (Method::GET, "/task_status/before", None),
        (Method::GET, "/task_details/before", None),
        (Method::GET, "/tasks", None),
        (Method::DELETE, "/task/before", None),
        (Method::POST, "/create_task", Some(json!({"username": "nasa"}).to_string())),
    ] {
        let asked = Instant::now();
        let answer = replica.ask(method, &format!("{V1}{path}"), body).await;
        assert!(answer.error(503).contains("database is not available"), "{path}");
        assert_eq!(answer.header("retry-after"), Some("1"), "{path}");
        assert!(answer.header("link").is_some(), "{path}");
        assert!(asked.elapsed() < Duration::from_secs(5), "{path} took {:?}", asked.elapsed());
    }
    let ask = async |path: &str| replica.ask(Method::GET, path, None).await;
    ask("/healthz").await.ok();
    assert_eq!(ask("/readyz").await.header("retry-after"), Some("1"));
    ask("/readyz").await.error(503);
    let metrics = ask("/metrics").await;
    assert_eq!(metrics.status, 200);
    assert!(metrics.text.lines().any(|line| line == "igt_database_up 0"), "{}", metrics.text);

    server.revive().await;
    eventually("the replica is ready again", async || (ask("/readyz").await.status == 200).then_some(())).await;
    let world = World { database: Database::at(&server.database_url).await, instagram };
    let status = world.scrape(&replica, "before", "away.anna").await;
    assert_eq!(status["status"], "completed", "{status:#} {:#?}", replica.log());
    assert!(ask("/metrics").await.text.lines().any(|line| line == "igt_database_up 1"));
    assert_sound(&world.database.pool).await;
    world.database.pool.close().await;
    replica.kill().await;
    server.end().await;
}

#[tokio::test]
async fn what_is_logged_of_a_failed_request_has_its_id_whatever_the_filter_leaves_out() {
    let server = MortalServer::start().await;
    let instagram = Instagram::get().await;
    // Only where it listens is told beside warnings.
    let settings = [("IGT_LOG", "warn,ig_tracking::service=info")];
    let replica = Started::new(&server.database_url, &instagram.url, &settings);
    let replica = replica.listening().await;
    server.kill().await;
    let request = replica.http.get(format!("{}{V1}/tasks", replica.address)).header("x-request-id", "lost-in-the-dark");
    assert_eq!(request.send().await.unwrap().status(), 503);
    eventually("the failure is logged under the request's id", async || {
        replica.log().iter().any(|line| line["span"]["request_id"] == "lost-in-the-dark").then_some(())
    })
    .await;
    replica.kill().await;
    server.end().await;
}

#[tokio::test]
async fn a_request_has_the_id_that_it_came_with_or_is_given_one() {
    let (_world, replica) = World::with_replica().await;
    let id_of = async |path: &str, id: Option<&str>| {
        let mut request = replica.http.get(format!("{}{path}", replica.address));
        if let Some(id) = id {
            request = request.header("x-request-id", id);
        }
        let response = request.send().await.unwrap();
        response.headers()["x-request-id"].to_str().unwrap().to_owned()
    };
    let longest = "x".repeat(128);
    for path in ["/healthz", "/nothing", "/codvid-ai/ig-tracking/tasks", "/codvid-ai/ig-tracking/task_details/nobody"] {
        for given in ["mine", "a b/c=d", &longest] {
            assert_eq!(id_of(path, Some(given)).await, given);
        }
        for unusable in [None, Some("".to_owned()), Some("x".repeat(129)), Some("ü".to_owned())] {
            let id = id_of(path, unusable.as_deref()).await;
            assert!(id.parse::<Uuid>().is_ok(), "{unusable:?} became {id}");
        }
    }
}

#[tokio::test]
async fn answers_of_version_1_name_its_successor_and_its_end_only_once_that_is_set() {
    let world = World::new().await;
    let replica = world.replica(&[]).await;
    let paths = ["/tasks", "/task_status/t", "/task_details/nobody"];
    for path in paths {
        let answer = replica.get(path).await;
        assert_eq!(answer.header("link"), Some("</api/v2>; rel=\"successor-version\""), "{path}");
        assert_eq!((answer.header("deprecation"), answer.header("sunset")), (None, None));
    }
    let answer = replica.ask(Method::GET, "/healthz", None).await;
    assert_eq!(answer.header("link"), None);

    let dates = [("IGT_V1_DEPRECATION", "2027-01-31"), ("IGT_V1_SUNSET", "2027-12-01")];
    let replica = world.replica(&dates).await;
    for path in paths {
        let answer = replica.get(path).await;
        assert_eq!(answer.header("deprecation"), Some("@1801353600"));
        assert_eq!(answer.header("sunset"), Some("Wed, 01 Dec 2027 00:00:00 GMT"));
    }
    let only_sunset = world.replica(&dates[1..]).await.get("/tasks").await;
    assert_eq!((only_sunset.header("deprecation"), only_sunset.header("sunset").is_some()), (None, true));
}

#[tokio::test]
async fn clients_that_hang_up_leave_nothing_half_done() {
    const TASKS: usize = 150;
    let world = World::new().await;
    // A claim without its hand would wait for an hour.
    let replica = world.replica(&[("IGT_LEASE_SECONDS", "3600"), ("IGT_MAX_POSTS", "1")]).await;
    for n in 0..TASKS {
        replica.create("create_task", &format!("t{n}"), "hangup.anna").await;
    }
    for n in 0..TASKS {
        hang_up(&replica, "POST", &format!("force_scrape/t{n}"), "", n).await;
        hang_up(
            &replica,
            "POST",
            "create_task",
            &json!({"username": "nasa", "task_id": format!("c{n}")}).to_string(),
            n,
        )
        .await;
        if n % 5 == 0 {
            hang_up(&replica, "DELETE", &format!("task/c{}", n / 2), "", n).await;
        }
    }
    let pool = &world.database.pool;
    let count = async |query: &'static str| -> i64 { sqlx::query_scalar(query).fetch_one(pool).await.unwrap() };
    // What was asked of it before is through with it when a later request is answered on the last free connection.
    for n in 0..TASKS {
        replica.create("create_reel_task", &format!("later{n}"), "nasa").await;
    }
    eventually("every run that was started is worked to its end", async || {
        (count("select count(*) from runs where claimable_at is not null").await == 0).then_some(())
    })
    .await;
    assert!(count("select count(*) from runs").await > 0, "no start came through; the test proves nothing");
    assert_eq!(count("select count(*) from runs where state <> 'succeeded'").await, 0);
    let stuck = "select count(*) from pg_stat_activity
                 where datname = current_database() and state like 'idle in transaction%'";
    eventually("no transaction stays open", async || (count(stuck).await == 0).then_some(())).await;
    assert_eq!(count("select count(*) from tasks where task_id like 'later%'").await, TASKS as i64);
    assert_sound(pool).await;
    // What is there is there for good: also for the next process.
    replica.kill().await;
    assert_eq!(count("select count(*) from tasks where task_id like 'later%'").await, TASKS as i64);
}

/// Sends a request and closes the connection: at once, or some turns of the scheduler later.
pub(crate) async fn hang_up(replica: &Replica, method: &str, path: &str, body: &str, patience: usize) {
    let mut stream = replica.connect().await;
    let length = body.len();
    let request = format!("{method} {V1}/{path} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {length}\r\n\r\n{body}");
    stream.write_all(request.as_bytes()).await.unwrap();
    for _ in 0..patience * 4 {
        tokio::task::yield_now().await;
    }
    drop(stream);
}

#[tokio::test]
async fn what_is_no_http_is_answered_and_harms_nobody() {
    let (_world, replica) = World::with_replica().await;
    let mut stream = replica.connect().await;
    stream.write_all(b"\x16\x03\x01\x02\x00 hello\r\n\r\n").await.unwrap();
    let answer = Answer::read(stream).await;
    assert_eq!(answer.status, 400);
    replica.ask(Method::GET, "/readyz", None).await.ok();
}
