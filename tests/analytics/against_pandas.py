"""Works out the analytics a second time, with pandas on the same rows, and compares every figure with the service's.

    python3 against_pandas.py DATABASE_URL SERVICE_URL

The rules are those of docs/ANALYTICS.md; nothing of the service's own code is used. Numbers have to agree to 1e-9.
"""

import json
import sys
import urllib.parse
import urllib.request

import pandas as pd
import psycopg

AGES = [1, 6, 24, 72, 168, 672]
DAY, HOUR = pd.Timedelta(days=1), pd.Timedelta(hours=1)
TOLERANCE = 1e-9


class Tables:
    """The rows of one account."""

    def __init__(self, connection, username):
        self.connection = connection
        (self.profile_id,) = connection.execute("select profile_id from profiles where username = %s", [username]).fetchone()
        self.profile = self.frame("select * from profile_snapshots where profile_id = %s order by observed_from")
        self.media = self.frame("select * from media where profile_id = %s")
        self.numbers = self.frame("select * from media_snapshots where profile_id = %s order by observed_from")
        self.numbers["reactions"] = self.numbers.likes_count + self.numbers.comments_count
        self.of_post = dict(list(self.numbers.groupby("shortcode")))

    def frame(self, query):
        cursor = self.connection.execute(query, [self.profile_id])
        frame = pd.DataFrame(cursor.fetchall(), columns=[column.name for column in cursor.description])
        for name in frame:
            if name.endswith("_count"):
                frame[name] = frame[name].astype("Int64")
            elif name.startswith("observed") or name.endswith("_at"):
                frame[name] = pd.to_datetime(frame[name], utc=True)
        return frame


def told(at):
    return None if at is None else at.strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def origin(row):
    """The event that brought the numbers of a row."""
    return {"run_id": str(row.run_id), "seq": int(row.seq), "event": f"/api/v2/runs/{row.run_id}/events/{row.seq}"}


def figure(value, reason=None):
    return {"value": None, "reason": reason} if reason else {"value": value, "reason": None}


def percent(part, base):
    return figure(100 * part / base) if base > 0 else figure(None, "zero_base")


def spread(values, at_least=5):
    values = pd.Series(values, dtype=float)
    if len(values) < at_least:
        return {"n": len(values), "q1": None, "median": None, "q3": None, "reason": "too_few"}
    q1, median, q3 = values.quantile([0.25, 0.5, 0.75])
    return {"n": len(values), "q1": q1, "median": median, "q3": q3, "reason": None}


def growth(tables, column, since, until):
    rows = tables.profile.dropna(subset=[column])
    rows = rows[(rows.observed_until >= since) & (rows.observed_from <= until)]
    if rows.empty:
        none = figure(None, "not_told")
        return {"n": 0, "from": None, "to": None, "absolute": none, "percent": none, "weekly": none}
    first, last = rows.iloc[0], rows.iloc[-1]
    begin, end = max(first.observed_from, since), min(last.observed_until, until)
    answer = {"n": len(rows), "from": {"at": told(begin), "count": int(first[column])} | origin(first),
              "to": {"at": told(end), "count": int(last[column])} | origin(last)}
    if end == begin:
        none = figure(None, "too_few")
        return answer | {"absolute": none, "percent": none, "weekly": none}
    grown = int(last[column] - first[column])
    weekly = figure(grown / ((end - begin) / (7 * DAY))) if end - begin >= DAY else figure(None, "too_short")
    return answer | {"absolute": figure(grown), "percent": percent(grown, int(first[column])), "weekly": weekly}


def gaps(tables, since, until):
    rows = tables.profile.dropna(subset=["followers_count"])
    rows = rows[(rows.observed_until >= since) & (rows.observed_from <= until)]
    known, found = since, []
    for begin, end in [*zip(rows.observed_from, rows.observed_until), (until, until)]:
        if begin - known > DAY:
            found.append({"from": told(known), "until": told(begin)})
        known = max(known, end)
    return {"longer_than_hours": 24.0, "count": len(found), "first": found[:100]}


def followers_on_days(tables, since, until, zone):
    """The last number that was known on each whole local day of the window."""
    rows = tables.profile.dropna(subset=["followers_count"])
    days = {}
    day = since.tz_convert(zone).normalize()
    while (begins := day.tz_convert("UTC")) < until:
        following = (day.tz_localize(None) + DAY).tz_localize(zone)
        ends = following.tz_convert("UTC")
        last = rows.observed_from.searchsorted(ends) - 1
        if begins >= since and ends <= until and last >= 0 and rows.observed_until.iloc[last] >= begins:
            days[day.date()] = int(rows.followers_count.iloc[last])
        day = following
    return days


def anomalies(numbers, at_least=7):
    """The scores of numbers, and what they are measured by."""
    numbers = pd.Series(numbers, dtype=float)
    none = {"n": len(numbers), "median": None, "deviation": None, "measure": None, "count": 0}
    if len(numbers) < at_least:
        return none | {"reason": "too_few"}, None
    median = numbers.median()
    deviations = (numbers - median).abs()
    mad, mean = deviations.median(), deviations.mean()
    if mad > 0:
        deviation, measure, scores = mad, "median", 0.6745 * (numbers - median) / mad
    elif mean > 0:
        deviation, measure, scores = mean, "mean", (numbers - median) / (1.253314 * mean)
    else:
        return none | {"reason": "all_equal"}, None
    return {"n": len(numbers), "median": median, "deviation": deviation, "measure": measure, "reason": None,
            "count": int((scores.abs() > 3.5).sum())}, scores


def farthest(scores, item):
    if scores is None:
        return []
    out = scores[scores.abs() > 3.5]
    out = out.loc[out.abs().sort_values(ascending=False, kind="stable").index]
    return [item(place, score) for place, score in out.head(100).items()]


class Analysed:
    """The posts of a window, newest first, with what is made of each."""

    def __init__(self, tables, since, until):
        self.tables, self.until = tables, until
        rows = tables.profile.dropna(subset=["followers_count"])
        self.known_followers = rows[rows.observed_from <= until]
        media = tables.media
        media = media[(media.taken_at >= since) & (media.taken_at < until)]
        media = media.sort_values(["taken_at", "shortcode"], ascending=[False, True])
        self.posts = [self.post(row) for row in media.itertuples()]
        for name, ages in (("likes_and_comments", "engagement"), ("plays_compared", "plays")):
            curves = [post[ages] for post in self.posts if ages == "engagement" or post["is_reel"]]
            spreads = [spread([curve[n]["value"] for curve in curves if curve[n]["reason"] is None]) for n in range(len(AGES))]
            setattr(self, ages, spreads)
            for post in self.posts:
                post[name] = compared(post[ages], spreads)

    def post(self, row):
        numbers = self.tables.of_post.get(row.shortcode, self.tables.numbers.iloc[:0])
        numbers = numbers[numbers.observed_from <= self.until]
        hidden = None if numbers.empty else bool(numbers.likes_hidden.iloc[-1])
        post = {"row": row, "is_reel": row.is_reel, "hidden": hidden, "near": self.followers(row.taken_at),
                "latest": self.latest(numbers, ["likes_count", "comments_count"])}
        for name in ("plays", "views"):
            wanted = ["likes_count", "comments_count", f"{name}_count"]
            post[f"latest_{name}"] = self.latest(numbers, wanted) if row.is_reel else None
        post["on_followers"] = self.rate(post, "latest", lambda latest: self.near_count(post))
        for name in ("plays", "views"):
            post[f"on_{name}"] = self.rate(post, f"latest_{name}", lambda latest, name=name: int(latest[f"{name}_count"]))
        post["engagement"] = self.at_ages(row, numbers, "reactions")
        post["plays"] = self.at_ages(row, numbers if row.is_reel else numbers.iloc[:0], "plays_count")
        post["settled"] = {"on_followers": self.settled(post, "on_followers", "latest")}
        for name in ("plays", "views"):
            post["settled"][f"on_{name}"] = self.settled(post, f"on_{name}", f"latest_{name}")
        return post

    def followers(self, at):
        """The nearest number of followers within two days."""
        rows = self.known_followers
        distances = pd.concat([at - rows.observed_until, rows.observed_from - at], axis=1).max(axis=1).clip(lower=pd.Timedelta(0))
        if rows.empty or distances.min() > 2 * DAY:
            return None
        place = distances.idxmin()
        near = {"count": int(rows.followers_count[place]), "distance_seconds": distances[place].total_seconds()}
        return near | origin(rows.loc[place])

    def near_count(self, post):
        return post["near"]["count"] if post["near"] else None

    def latest(self, numbers, wanted):
        rows = numbers[numbers[wanted].notna().all(axis=1)]
        if rows.empty:
            return None
        row = rows.iloc[-1]
        return {"at": min(row.observed_until, self.until), "origin": origin(row), **row[wanted]}

    def rate(self, post, name, base):
        """Likes and comments in per cent of a base, and how old the post was when they were seen."""
        latest = post[name]
        if post["hidden"]:
            return figure(None, "likes_hidden")
        if latest is None:
            return figure(None, "not_told")
        of = base(latest)
        if of is None:
            return figure(None, "followers_unknown")
        return percent(int(latest["likes_count"] + latest["comments_count"]), of)

    def settled(self, post, rate, name):
        if post[rate]["reason"] is None and post[name]["at"] - post["row"].taken_at < DAY:
            return figure(None, "too_young")
        return post[rate]

    def at_ages(self, row, numbers, column):
        rows = numbers.loc[numbers[column].notna(), ["observed_from", "observed_until", column]]
        rows.columns = ["observed_from", "observed_until", "count"]
        dues = [row.taken_at + age * HOUR for age in AGES]
        befores = rows.observed_from.searchsorted(pd.DatetimeIndex(dues), side="right") - 1
        return [self.at_age(rows, age, due, before) for age, due, before in zip(AGES, dues, befores)]

    def at_age(self, rows, age, due, before):
        answer = {"value": None, "is_interpolated": None}
        if due > self.until:
            return answer | {"reason": "too_young"}
        if before < 0:
            return answer | {"reason": "not_seen_around"}
        earlier = rows.iloc[before]
        if earlier.observed_until >= due:
            return {"value": float(earlier["count"]), "is_interpolated": False, "reason": None}
        if before + 1 == len(rows):
            return answer | {"reason": "not_seen_around"}
        later = rows.iloc[before + 1]
        apart = later.observed_from - earlier.observed_until
        if apart > max(1.5 * age * HOUR, 8 * HOUR):
            return answer | {"reason": "too_far_apart"}
        line = pd.Series([float(earlier["count"]), None, float(later["count"])],
                         index=[0.0, (due - earlier.observed_until) / HOUR, apart / HOUR])
        return {"value": line.interpolate(method="index").iloc[1], "is_interpolated": True, "reason": None}


def compared(ages, spreads):
    none = {"n": 0, "age_hours": None, "value": None, "median": None, "ratio": None, "standing": None}
    known = [n for n in reversed(range(len(AGES))) if ages[n]["reason"] is None]
    if not known:
        return none | {"reason": "not_seen_around"}
    for n in known:
        if spreads[n]["reason"] is None:
            value, all_posts = ages[n]["value"], spreads[n]
            standing = "above" if value > all_posts["q3"] else "below" if value < all_posts["q1"] else "within"
            ratio = value / all_posts["median"] if all_posts["median"] > 0 else None
            return {"n": all_posts["n"], "age_hours": float(AGES[n]), "value": value, "median": all_posts["median"],
                    "ratio": ratio, "standing": standing, "reason": None if ratio is not None else "zero_base"}
    return none | {"reason": "too_few"}


def settled(post):
    return post["settled"]["on_followers"]


ORDER = ["not_told", "likes_hidden", "too_few", "too_short", "zero_base", "followers_unknown", "too_young"]


def engagement(rates):
    reasons = pd.Series([rate["reason"] for rate in rates if rate["reason"]], dtype=object).value_counts()
    return {"percent": spread([rate["value"] for rate in rates if not rate["reason"]]),
            "left_out": [{"reason": reason, "posts": int(reasons[reason])} for reason in ORDER if reason in reasons]}


def reels(analysed):
    own = [post for post in analysed.posts if post["is_reel"]]
    velocity = []
    for n, (earlier, later) in enumerate(zip(AGES, AGES[1:])):
        both = [post["plays"] for post in own if not (post["plays"][n]["reason"] or post["plays"][n + 1]["reason"])]
        gained = [(plays[n + 1]["value"] - plays[n]["value"]) / (later - earlier) for plays in both]
        velocity.append({"from_age_hours": float(earlier), "until_age_hours": float(later), "plays_per_hour": spread(gained)})
    of = {name: engagement([post["settled"][name] for post in own]) for name in ("on_plays", "on_views")}
    curve = [{"age_hours": float(age), "plays": plays} for age, plays in zip(AGES, analysed.plays)]
    return {"n": len(own), **of, "curve": curve, "velocity": velocity}


def performance(analysed):
    known = [post for post in analysed.posts if post["likes_and_comments"]["standing"]]
    standings = pd.Series([post["likes_and_comments"]["standing"] for post in known], dtype=object)
    best = sorted((post for post in known if post["likes_and_comments"]["ratio"] is not None),
                  key=lambda post: -post["likes_and_comments"]["ratio"])
    return {"n": len(known), **{name: int((standings == name).sum()) for name in ("above", "within", "below")},
            "best": [{"shortcode": post["row"].shortcode, "likes_and_comments": post["likes_and_comments"]}
                     for post in best[:5]]}


def heat_map(analysed, zone):
    local = pd.Series([post["row"].taken_at.tz_convert(zone) for post in analysed.posts], dtype=object)
    frame = pd.DataFrame({
        "day": [at.day_of_week for at in local], "hour": [at.hour for at in local],
        "percent": pd.Series([settled(post)["value"] for post in analysed.posts], dtype=float)})
    cells = frame.groupby(["day", "hour"]).percent.agg(["size", "count", "median"])
    week = {name: [[0] * 24 for _ in range(7)] for name in ("posts", "n")}
    week["median_percent"] = [[None] * 24 for _ in range(7)]
    for (day, hour), cell in cells.iterrows():
        week["posts"][day][hour], week["n"][day][hour] = int(cell["size"]), int(cell["count"])
        week["median_percent"][day][hour] = None if pd.isna(cell["median"]) else cell["median"]
    return week


def lifts(analysed, name):
    known = [(getattr(post["row"], name), settled(post)["value"]) for post in analysed.posts
             if settled(post)["reason"] is None]
    read = pd.DataFrame([row for row in known if row[0] is not None], columns=["tags", "percent"])
    uses = read.explode("tags").dropna(subset=["tags"]).tags.value_counts()
    uses = sorted(uses.items(), key=lambda use: (-use[1], use[0]))
    most_used = []
    for tag, _ in uses[:50]:
        has_it = read.tags.map(lambda tags, tag=tag: tag in tags).astype(bool)
        having, others = read.percent[has_it], read.percent[~has_it]
        one, other = (None if part.empty else part.median() for part in (having, others))
        if min(len(having), len(others)) < 3:
            lift = figure(None, "too_few")
        else:
            lift = figure(one / other) if other > 0 else figure(None, "zero_base")
        most_used.append({"tag": tag, "n_with": len(having), "n_without": len(others), "median_percent_with": one,
                          "median_percent_without": other, "lift": lift})
    return {"n": len(read), "unread": len(known) - len(read), "count": len(uses), "most_used": most_used}


def unusual(tables, analysed, since, until, zone):
    days = pd.Series(followers_on_days(tables, since, until, zone), dtype=float)
    days.index = pd.DatetimeIndex(days.index)
    # A day that nobody saw is a hole, over which there is no change.
    changes = days.asfreq("D").diff().dropna() if len(days) else days
    ordinary, scores = anomalies(changes)
    follower_changes = ordinary | {"farthest": farthest(
        scores, lambda day, score: {"day": str(day.date()), "change": changes[day], "score": score})}
    percents = {n: settled(post)["value"] for n, post in enumerate(analysed.posts)
                if settled(post)["reason"] is None}
    ordinary, scores = anomalies(pd.Series(percents, dtype=float))
    rows = [post["row"] for post in analysed.posts]
    posts = ordinary | {"farthest": farthest(scores, lambda n, score: {
        "shortcode": rows[n].shortcode, "taken_at": told(rows[n].taken_at), "percent": percents[n], "score": score})}
    return {"threshold": 3.5, "follower_changes": follower_changes, "engagement": posts}


def cadence(tables, analysed, since, until):
    media = tables.media
    oldest, read_at = media.taken_at[~media.is_pinned].min(), media.last_seen_at.max()
    counts = tables.profile.posts_count.dropna()
    is_all = len(counts) > 0 and counts.iloc[-1] == media.missing_since.isna().sum()
    begins_with_a_post = not is_all and oldest >= since
    begin, end = oldest if begins_with_a_post else since, min(until, read_at)
    if begin >= end:
        none = figure(None, "not_told")
        return {"covered": None, "n": 0, "posts_per_week": none, "pauses": 0, "median_pause_hours": none,
                "longest_pause": {"from": None, "until": None} | none}
    times = pd.Series([post["row"].taken_at for post in analysed.posts], dtype="datetime64[us, UTC]").sort_values()
    times = times[(times >= begin) & (times <= end)].reset_index(drop=True)
    pauses = (times.diff() / HOUR).dropna()
    n = len(times) - (1 if begins_with_a_post and len(times) and times[0] == begin else 0)
    weekly = figure(n / ((end - begin) / (7 * DAY))) if end - begin >= DAY else figure(None, "too_short")
    if pauses.empty:
        middle = figure(None, "too_few")
        longest = {"from": None, "until": None} | middle
    else:
        place = pauses.idxmax()
        middle = figure(pauses.median())
        longest = {"from": told(times[place - 1]), "until": told(times[place])} | figure(pauses[place])
    return {"covered": {"from": told(begin), "until": told(end), "begins_with_a_post": begins_with_a_post}, "n": n,
            "posts_per_week": weekly, "pauses": len(pauses), "median_pause_hours": middle, "longest_pause": longest}


def whole(tables, username, since, until, zone):
    """The answer that is expected, and the posts one by one."""
    analysed = Analysed(tables, since, until)
    rates = [settled(post) for post in analysed.posts]
    curve = [{"age_hours": float(age), "likes_and_comments": both} for age, both in zip(AGES, analysed.engagement)]
    answer = {
        "username": username,
        "window": {"since": told(since), "until": told(until), "timezone": zone},
        "growth": {name: growth(tables, f"{name}_count", since, until) for name in ("followers", "following", "posts")}
        | {"gaps": gaps(tables, since, until)},
        "posts": {"n": len(analysed.posts), "reels": sum(post["is_reel"] for post in analysed.posts), "is_cut": False,
                  "undated": int(tables.media.taken_at.isna().sum())},
        "engagement": {"on_followers": engagement(rates), "curve": curve},
        "reels": reels(analysed),
        "performance": performance(analysed),
        "heat_map": heat_map(analysed, zone),
        "hashtags": lifts(analysed, "hashtags"),
        "mentions": lifts(analysed, "mentions"),
        "anomalies": unusual(tables, analysed, since, until, zone),
        "cadence": cadence(tables, analysed, since, until),
    }
    return answer, [one_by_one(post) for post in analysed.posts]


def one_by_one(post):
    row, latest = post["row"], post["latest"]
    ages = [{"age_hours": float(age), "likes_and_comments": both, "plays": plays if row.is_reel else None}
            for age, both, plays in zip(AGES, post["engagement"], post["plays"])]
    return {
        "shortcode": row.shortcode, "taken_at": told(row.taken_at), "is_reel": row.is_reel, "hashtags": row.hashtags,
        "mentions": row.mentions, "followers_at_publish": post["near"], "likes_hidden": post["hidden"],
        "latest": latest and {"seen_at": told(latest["at"]), "age_hours": (latest["at"] - row.taken_at) / HOUR,
                              "likes_count": int(latest["likes_count"]), "comments_count": int(latest["comments_count"])} | latest["origin"],
        "percent_of_followers": post["on_followers"], "likes_and_comments": post["likes_and_comments"],
        "reel": {"percent_of_plays": post["on_plays"], "percent_of_views": post["on_views"], "plays": post["plays_compared"]}
        if row.is_reel else None,
        "ages": ages,
    }


def differences(path, ours, theirs, counted):
    """What differs, by its path; numbers that are compared are counted."""
    if isinstance(ours, dict) and isinstance(theirs, dict):
        if ours.keys() != theirs.keys():
            yield f"{path}: pandas has {sorted(ours)}, the service {sorted(theirs)}"
            return
        for name in ours:
            yield from differences(f"{path}.{name}", ours[name], theirs[name], counted)
    elif isinstance(ours, list) and isinstance(theirs, list):
        if len(ours) != len(theirs):
            yield f"{path}: pandas has {len(ours)} items, the service {len(theirs)}: {ours} {theirs}"
            return
        for place, (one, other) in enumerate(zip(ours, theirs)):
            yield from differences(f"{path}[{place}]", one, other, counted)
    elif is_number(ours) and is_number(theirs):
        counted["numbers"] += 1
        if abs(ours - theirs) > TOLERANCE * max(1, abs(ours)):
            yield f"{path}: {ours!r} by pandas, {theirs!r} by the service"
    else:
        counted["nulls" if ours is None else "words"] += 1
        if type(ours) is not type(theirs) and not (isinstance(ours, bool) or isinstance(theirs, bool)) or ours != theirs:
            yield f"{path}: {ours!r} by pandas, {theirs!r} by the service"


def is_number(value):
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def ask(url, **query):
    with urllib.request.urlopen(f"{url}?{urllib.parse.urlencode(query)}") as answer:
        return json.load(answer)


def main(database, service):
    counted = {"numbers": 0, "words": 0, "nulls": 0}
    found = []
    windows = [("2025-01-06", "2025-05-06", "UTC"), ("2025-02-01T03:04:05.678", "2025-03-20T11:00", "America/New_York"),
               ("2025-03-25", "2025-04-03", "Europe/Berlin"), ("2025-01-10", "2025-01-10T12:00", "Asia/Kathmandu"),
               ("2024-05-01", "2024-06-01", "Pacific/Apia")]
    with psycopg.connect(database) as connection:
        usernames = [name for (name,) in connection.execute("select username from profiles order by username")]
        for username in usernames:
            tables = Tables(connection, username)
            for since, until, zone in windows:
                since, until = pd.Timestamp(since, tz="UTC"), pd.Timestamp(until, tz="UTC")
                ours, posts = whole(tables, username, since, until, zone)
                url = f"{service}/api/v2/profiles/{username}/analytics"
                query = {"since": told(since), "until": told(until)}
                where = f"{username} {zone} {since:%F}"
                found += differences(where, ours, ask(url, timezone=zone, **query), counted)
                page = ask(f"{url}/posts", limit=1000, **query)
                found += differences(f"{where} posts", posts, page["items"], counted)
    print(f"{counted['numbers']} numbers, {counted['nulls']} nulls and {counted['words']} words compared, "
          f"{len(found)} differ")
    print("\n".join(found[:40]))
    return 1 if found or counted["numbers"] < 1000 else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
