# Databricks notebook source
# MAGIC %md
# MAGIC # Clean a batch of photographs
# MAGIC Ingest a table or a folder, look at a few results, clean the batch, take it back. Every cell calls the package;
# MAGIC the same verbs exist on the command line. Install the package on the cluster first (`%pip install <wheel>`).

# COMMAND ----------

dbutils.widgets.text("warehouse", "main.cleanplate")
dbutils.widgets.text("batch", "spring")
dbutils.widgets.text("source", "/Volumes/main/default/photos")
warehouse_name, batch, source = (dbutils.widgets.get(name) for name in ("warehouse", "batch", "source"))

# COMMAND ----------

from cleanplate.batch.history import batch_statuses
from cleanplate.batch.ingest import ingest_source
from cleanplate.batch.probe import Probing
from cleanplate.batch.rollback import roll_back
from cleanplate.batch.run import RunOptions, clean_batch
from cleanplate.config import load_config
from cleanplate.warehouse.tables import Warehouse

warehouse = Warehouse(spark, warehouse_name).create()
config = load_config()

# COMMAND ----------

# MAGIC %md The manifest: originals are read, never written. Ask for rights where watermarks or stamps are to go.

# COMMAND ----------

print(ingest_source(warehouse, batch, source, rights="owned", probing=Probing(config.source)))

# COMMAND ----------

# MAGIC %md A run that is held is visible in `results_preview` only; approve it, or let the next cell publish at once.

# COMMAND ----------


class Progress:
    def begin(self, images):
        print(f"wave of {images} images")

    def finish(self):
        print("in the tables")


print(clean_batch(warehouse, batch, config, RunOptions(who="notebook"), Progress()))

# COMMAND ----------

warehouse.register_views()
display(warehouse.current("results").where(f"batch_id = '{batch}'").orderBy("confidence"))

# COMMAND ----------

display([status.as_dict() for status in batch_statuses(warehouse, batch)])

# COMMAND ----------

# MAGIC %md The way back: one commit.

# COMMAND ----------

# roll_back(warehouse, batch, who="notebook")
