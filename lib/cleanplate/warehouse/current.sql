-- Which rows count now. The same text runs on Spark, DataFusion (deltalake's QueryBuilder) and DuckDB: put what stands
-- in a FROM clause for {ledger}, {results}, {masks}, {diffs} and {metrics}; a view's name in braces is that view.
--
-- The last event of a batch names its active runs, each as 'run_id@publish_seq'. Of an image, over all batches, the row
-- of the latest publication counts, in it the latest wave; a row of status review or failed counts only where no other
-- row is left. The ledger is read first: rows are always there before the event that shows them.

-- view: active_runs
SELECT published.batch_id, published.run_id, published.publish_seq
FROM (SELECT batch_id, run_id, publish_seq FROM {ledger} WHERE action IN ('publish', 'republish')) published
JOIN (
    SELECT batch_id, active_keys,
           row_number() OVER (PARTITION BY batch_id ORDER BY seq DESC) AS age
    FROM {ledger}
) latest
  ON latest.batch_id = published.batch_id AND latest.age = 1
 AND array_contains(latest.active_keys, concat(published.run_id, '@', CAST(published.publish_seq AS VARCHAR(20))));

-- view: open_runs
SELECT batch_id, run_id
FROM (
    SELECT batch_id, run_id, state,
           row_number() OVER (PARTITION BY batch_id, run_id ORDER BY seq DESC) AS age
    FROM {ledger}
) latest
WHERE age = 1 AND state IN ('running', 'held');

-- view: results_current
SELECT *
FROM (
    SELECT results.*, active.publish_seq,
           row_number() OVER (
               PARTITION BY results.image_id
               ORDER BY CASE WHEN results.status IN ('review', 'failed') THEN 1 ELSE 0 END,
                        active.publish_seq DESC, results.wave DESC
           ) AS place
    FROM {active_runs} active
    JOIN {results} results ON results.batch_id = active.batch_id AND results.run_id = active.run_id
) ranked
WHERE place = 1;

-- view: masks_current
SELECT masks.*
FROM {results_current} shown
JOIN {masks} masks
  ON masks.batch_id = shown.batch_id AND masks.run_id = shown.run_id AND masks.wave = shown.wave
 AND masks.image_id = shown.image_id;

-- view: diffs_current
SELECT diffs.*
FROM {results_current} shown
JOIN {diffs} diffs
  ON diffs.batch_id = shown.batch_id AND diffs.run_id = shown.run_id AND diffs.wave = shown.wave
 AND diffs.image_id = shown.image_id;

-- view: metrics_current
SELECT metrics.*
FROM {results_current} shown
JOIN {metrics} metrics
  ON metrics.batch_id = shown.batch_id AND metrics.run_id = shown.run_id AND metrics.wave = shown.wave
 AND metrics.image_id = shown.image_id;

-- view: results_preview
SELECT *
FROM (
    SELECT results.*,
           row_number() OVER (
               PARTITION BY results.batch_id, results.run_id, results.image_id ORDER BY results.wave DESC
           ) AS place
    FROM {open_runs} opened
    JOIN {results} results ON results.batch_id = opened.batch_id AND results.run_id = opened.run_id
) ranked
WHERE place = 1;

-- view: masks_preview
SELECT masks.*
FROM {results_preview} shown
JOIN {masks} masks
  ON masks.batch_id = shown.batch_id AND masks.run_id = shown.run_id AND masks.wave = shown.wave
 AND masks.image_id = shown.image_id;

-- view: diffs_preview
SELECT diffs.*
FROM {results_preview} shown
JOIN {diffs} diffs
  ON diffs.batch_id = shown.batch_id AND diffs.run_id = shown.run_id AND diffs.wave = shown.wave
 AND diffs.image_id = shown.image_id;

-- view: metrics_preview
SELECT metrics.*
FROM {results_preview} shown
JOIN {metrics} metrics
  ON metrics.batch_id = shown.batch_id AND metrics.run_id = shown.run_id AND metrics.wave = shown.wave
 AND metrics.image_id = shown.image_id;
