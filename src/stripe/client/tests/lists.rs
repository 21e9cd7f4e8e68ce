//! Paging.

use super::*;

/// Pages of `total` items numbered from the newest, `total`, to the oldest, 1.
fn pages(total: usize, length: usize) -> Vec<Step> {
    let all: Vec<usize> = (1..=total).rev().collect();
    let pages: Vec<&[usize]> = all.chunks(length).collect();
    let last = pages.len() - 1;
    let steps = pages.iter().enumerate().map(|(at, page)| {
        let data: Vec<Value> = page
            .iter()
            .map(|number| json!({"id": format!("evt_{number}")}))
            .collect();
        Step::json(
            200,
            &json!({"object": "list", "data": data, "has_more": at < last}).to_string(),
        )
    });
    steps.collect()
}

fn events() -> Call {
    api::list_events(&api::EventQuery::default()).unwrap()
}

#[tokio::test]
async fn w13_250_items_are_three_pages() {
    let server = Server::start(pages(250, 100)).await;
    let all = list_all(&client(&server), &events(), 1_000).await.unwrap();
    assert_eq!(all.len(), 250);
    assert_eq!(
        (&all[0]["id"], &all[249]["id"]),
        (&json!("evt_250"), &json!("evt_1"))
    );
    let lines: Vec<String> = server.seen().into_iter().map(|request| request.line).collect();
    assert_eq!(
        lines,
        [
            "GET /v1/events?limit=100 HTTP/1.1",
            "GET /v1/events?limit=100&starting_after=evt_151 HTTP/1.1",
            "GET /v1/events?limit=100&starting_after=evt_51 HTTP/1.1",
        ]
    );
}

#[tokio::test]
async fn a_list_that_is_longer_than_may_be_is_an_error_and_not_cut_short() {
    for (total, max, fine) in [
        (250, 250, true),
        (250, 249, false),
        (250, 200, false),
        (1, 1, true),
        (2, 1, false),
        (1, 0, false),
    ] {
        let server = Server::start(pages(total, 100)).await;
        let all = list_all(&client(&server), &events(), max).await;
        assert_eq!(all.is_ok(), fine, "{total} of {max}");
        if !fine {
            assert_eq!(all, Err(ApiError::TooMany { max }));
        }
    }
}

#[tokio::test]
async fn what_has_come_since_is_read_from_the_oldest_on() {
    // With `ending_before` a page holds what comes right before that item in the list, newest first as ever.
    let page = |numbers: &[usize], more: bool| {
        let data: Vec<Value> = numbers
            .iter()
            .map(|number| json!({"id": format!("evt_{number}")}))
            .collect();
        Step::json(200, &json!({"data": data, "has_more": more}).to_string())
    };
    let server = Server::start(vec![
        page(&[3, 2, 1], true),
        page(&[6, 5, 4], true),
        page(&[7], false),
    ])
    .await;
    let newer = list_newer(&client(&server), &events(), "evt_0", 100)
        .await
        .unwrap();
    let ids: Vec<&str> = newer
        .items
        .iter()
        .filter_map(|item| item["id"].as_str())
        .collect();
    assert_eq!(
        ids,
        ["evt_1", "evt_2", "evt_3", "evt_4", "evt_5", "evt_6", "evt_7"]
    );
    assert!(!newer.more);
    let cursors: Vec<String> = server
        .seen()
        .iter()
        .map(|request| request.line.split("ending_before=").nth(1).unwrap().to_owned())
        .collect();
    assert_eq!(cursors, ["evt_0 HTTP/1.1", "evt_3 HTTP/1.1", "evt_6 HTTP/1.1"]);

    // Enough: it goes on from there another time.
    let server = Server::start(vec![page(&[3, 2, 1], true), page(&[6, 5, 4], true)]).await;
    let newer = list_newer(&client(&server), &events(), "evt_0", 4).await.unwrap();
    assert_eq!((newer.items.len(), newer.more), (6, true));
    let server = Server::start(vec![page(&[], false)]).await;
    assert_eq!(
        list_newer(&client(&server), &events(), "evt_0", 4).await.unwrap(),
        Newer::default()
    );
}

#[tokio::test]
async fn what_is_no_page_ends_it() {
    for body in [
        json!({}),
        json!({"data": [], "has_more": true}),
        json!({"data": {}, "has_more": false}),
        json!({"data": [{"id": "a"}]}),
        json!({"data": [{"name": "no id"}], "has_more": true}),
        json!([]),
        json!(null),
    ] {
        let server = Server::start(vec![Step::json(200, &body.to_string())]).await;
        let error = list_all(&client(&server), &events(), 10).await.unwrap_err();
        assert!(
            error.is_unknown() && error.to_string().contains("page of a list"),
            "{error}"
        );
    }
    let server = Server::start(vec![Step::json(404, &error("invalid_request_error", "No such"))]).await;
    assert!(
        list_all(&client(&server), &events(), 10)
            .await
            .unwrap_err()
            .refused()
            .is_some()
    );
}
