BEGIN TRANSACTION;
CREATE TABLE duroxide_executions (
	instance_id TEXT NOT NULL, 
	execution_id BIGINT NOT NULL, 
	status TEXT NOT NULL, 
	output TEXT, 
	version TEXT NOT NULL, 
	pinned BIGINT, 
	started_at_ms BIGINT NOT NULL, 
	completed_at_ms BIGINT, 
	PRIMARY KEY (instance_id, execution_id)
)
 WITHOUT ROWID;
INSERT INTO "duroxide_executions" VALUES('done',1,'Completed','2','1.0.0',1048576,1795687925412,1795687925438);
INSERT INTO "duroxide_executions" VALUES('elsewhere',1,'Running',NULL,'1.0.0',1048576,1795687925438,NULL);
INSERT INTO "duroxide_executions" VALUES('failed',1,'Failed','no','1.0.0',1048576,1795687925412,1795687925438);
INSERT INTO "duroxide_executions" VALUES('loops',1,'ContinuedAsNew','1','1.0.0',1048576,1795687925438,1795687925438);
INSERT INTO "duroxide_executions" VALUES('loops',2,'ContinuedAsNew','0','1.0.0',1048576,1795687925454,1795687925454);
INSERT INTO "duroxide_executions" VALUES('loops',3,'Running',NULL,'1.0.0',1048576,1795687925469,NULL);
INSERT INTO "duroxide_executions" VALUES('order',1,'Running',NULL,'1.0.0',1048576,1795687925438,NULL);
INSERT INTO "duroxide_executions" VALUES('parent',1,'Running',NULL,'1.0.0',1048576,1795687925438,NULL);
INSERT INTO "duroxide_executions" VALUES('parent::child',1,'Running',NULL,'1.0.0',1048576,1795687925454,NULL);
INSERT INTO "duroxide_executions" VALUES('sleeper',1,'Running',NULL,'1.0.0',1048576,1795687925438,NULL);
CREATE TABLE duroxide_history (
	instance_id TEXT NOT NULL, 
	execution_id BIGINT NOT NULL, 
	event_id BIGINT NOT NULL, 
	event_type TEXT NOT NULL, 
	timestamp_ms BIGINT NOT NULL, 
	data TEXT NOT NULL, 
	PRIMARY KEY (instance_id, execution_id, event_id)
)
 WITHOUT ROWID;
INSERT INTO "duroxide_history" VALUES('done',1,1,'OrchestrationStarted',1795687925408,'{"instance_id":"done","execution_id":1,"name":"leaf","version":"1.0.0","input":"1","duroxide_version":"0.1.0","kv":{},"queued":[]}');
INSERT INTO "duroxide_history" VALUES('done',1,2,'ActivityScheduled',1795687925408,'{"name":"double","input":"1","attempt":1}');
INSERT INTO "duroxide_history" VALUES('done',1,3,'ActivityCompleted',1795687925438,'{"source_event_id":2,"result":"2"}');
INSERT INTO "duroxide_history" VALUES('done',1,4,'OrchestrationCompleted',1795687925438,'{"output":"2"}');
INSERT INTO "duroxide_history" VALUES('elsewhere',1,1,'OrchestrationStarted',1795687925436,'{"instance_id":"elsewhere","execution_id":1,"name":"elsewhere","version":"1.0.0","input":"4","duroxide_version":"0.1.0","kv":{},"queued":[]}');
INSERT INTO "duroxide_history" VALUES('elsewhere',1,2,'ActivityScheduled',1795687925436,'{"name":"double","input":"4","tag":"elsewhere","attempt":1}');
INSERT INTO "duroxide_history" VALUES('failed',1,1,'OrchestrationStarted',1795687925411,'{"instance_id":"failed","execution_id":1,"name":"fails","version":"1.0.0","input":"\"no\"","duroxide_version":"0.1.0","kv":{},"queued":[]}');
INSERT INTO "duroxide_history" VALUES('failed',1,2,'ActivityScheduled',1795687925411,'{"name":"refuse","input":"\"no\"","attempt":1}');
INSERT INTO "duroxide_history" VALUES('failed',1,3,'ActivityFailed',1795687925437,'{"source_event_id":2,"details":{"category":"application","kind":"ActivityFailed","message":"no","type":"ValueError","traceback":"Traceback (most recent call last):\n  File \"/tmp/wt/growth/duroxide/_runtime/invoking.py\", line 28, in invoke\n    return completed(work, info.fn(*_arguments(info, work, context)), limits)\n                           ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^\n  File \"/tmp/wt/growth/tests/providers/released.py\", line 47, in refuse\n    raise ValueError(text)\nValueError: no\n","retryable":true}}');
INSERT INTO "duroxide_history" VALUES('failed',1,4,'OrchestrationFailed',1795687925437,'{"details":{"category":"application","kind":"OrchestrationFailed","message":"no","type":"ValueError","traceback":"Traceback (most recent call last):\n  File \"/tmp/wt/growth/duroxide/_core/scheduler.py\", line 91, in _step\n    awaited = outcome.send(branch.generator)\n              ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^\n  File \"/tmp/wt/growth/duroxide/_core/actions.py\", line 43, in send\n    return generator.throw(self.make())\n           ^^^^^^^^^^^^^^^^^^^^^^^^^^^^\n  File \"/tmp/wt/growth/tests/providers/released.py\", line 90, in fails\n    yield from ctx.schedule_activity(refuse, text)\n  File \"/tmp/wt/growth/duroxide/_core/actions.py\", line 74, in __iter__\n    answer: T_co = yield self\n                   ^^^^^^^^^^\nduroxide.errors.ValueError: no\n","cause":{"category":"application","kind":"ActivityFailed","message":"no","type":"ValueError","traceback":"Traceback (most recent call last):\n  File \"/tmp/wt/growth/duroxide/_runtime/invoking.py\", line 28, in invoke\n    return completed(work, info.fn(*_arguments(info, work, context)), limits)\n                           ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^\n  File \"/tmp/wt/growth/tests/providers/released.py\", line 47, in refuse\n    raise ValueError(text)\nValueError: no\n","retryable":true}}}');
INSERT INTO "duroxide_history" VALUES('loops',1,1,'OrchestrationStarted',1795687925437,'{"instance_id":"loops","execution_id":1,"name":"loops","version":"1.0.0","input":"2","duroxide_version":"0.1.0","kv":{},"queued":[]}');
INSERT INTO "duroxide_history" VALUES('loops',1,2,'OrchestrationContinuedAsNew',1795687925437,'{"input":"1"}');
INSERT INTO "duroxide_history" VALUES('loops',2,1,'OrchestrationStarted',1795687925452,'{"instance_id":"loops","execution_id":2,"name":"loops","version":"1.0.0","input":"1","duroxide_version":"0.1.0","kv":{},"queued":[]}');
INSERT INTO "duroxide_history" VALUES('loops',2,2,'OrchestrationContinuedAsNew',1795687925452,'{"input":"0"}');
INSERT INTO "duroxide_history" VALUES('loops',3,1,'OrchestrationStarted',1795687925469,'{"instance_id":"loops","execution_id":3,"name":"loops","version":"1.0.0","input":"0","duroxide_version":"0.1.0","kv":{},"queued":[]}');
INSERT INTO "duroxide_history" VALUES('loops',3,2,'QueueSubscribed',1795687925469,'{"name":"letters"}');
INSERT INTO "duroxide_history" VALUES('order',1,1,'OrchestrationStarted',1795687925435,'{"instance_id":"order","execution_id":1,"name":"order","version":"1.0.0","input":"21","duroxide_version":"0.1.0","kv":{},"queued":[]}');
INSERT INTO "duroxide_history" VALUES('order',1,2,'ActivityScheduled',1795687925435,'{"name":"double","input":"21","attempt":1}');
INSERT INTO "duroxide_history" VALUES('order',1,3,'ActivityCompleted',1795687925454,'{"source_event_id":2,"result":"42"}');
INSERT INTO "duroxide_history" VALUES('order',1,4,'KeyValueSet',1795687925454,'{"key":"doubled","value":"42","updated_at_ms":1795687925454}');
INSERT INTO "duroxide_history" VALUES('order',1,5,'CustomStatusUpdated',1795687925454,'{"status":"waits"}');
INSERT INTO "duroxide_history" VALUES('order',1,6,'ExternalSubscribed',1795687925454,'{"name":"approved"}');
INSERT INTO "duroxide_history" VALUES('parent',1,1,'OrchestrationStarted',1795687925436,'{"instance_id":"parent","execution_id":1,"name":"family","version":"1.0.0","input":"60","duroxide_version":"0.1.0","kv":{},"queued":[]}');
INSERT INTO "duroxide_history" VALUES('parent',1,2,'SubOrchestrationScheduled',1795687925436,'{"name":"sleeps","instance_id":"parent::child","input":"60"}');
INSERT INTO "duroxide_history" VALUES('parent::child',1,1,'OrchestrationStarted',1795687925452,'{"instance_id":"parent::child","execution_id":1,"name":"sleeps","version":"1.0.0","input":"60","parent":{"instance_id":"parent","execution_id":1,"event_id":2},"duroxide_version":"0.1.0","kv":{},"queued":[]}');
INSERT INTO "duroxide_history" VALUES('parent::child',1,2,'TimerCreated',1795687925452,'{"fire_at_ms":1795687985452}');
INSERT INTO "duroxide_history" VALUES('sleeper',1,1,'OrchestrationStarted',1795687925436,'{"instance_id":"sleeper","execution_id":1,"name":"sleeps","version":"1.0.0","input":"60","duroxide_version":"0.1.0","kv":{},"queued":[]}');
INSERT INTO "duroxide_history" VALUES('sleeper',1,2,'TimerCreated',1795687925436,'{"fire_at_ms":1795687985436}');
CREATE TABLE duroxide_instance_locks (
	instance_id TEXT NOT NULL, 
	token TEXT NOT NULL, 
	locked_until_ms BIGINT NOT NULL, 
	PRIMARY KEY (instance_id)
)
 WITHOUT ROWID;
CREATE TABLE duroxide_instances (
	instance_id TEXT NOT NULL, 
	incarnation BIGINT NOT NULL, 
	orchestration_name TEXT NOT NULL, 
	orchestration_version TEXT NOT NULL, 
	execution_id BIGINT NOT NULL, 
	last_event_id BIGINT NOT NULL, 
	status TEXT NOT NULL, 
	output TEXT, 
	pinned BIGINT, 
	custom_status TEXT, 
	custom_status_version BIGINT DEFAULT 0 NOT NULL, 
	parent_instance_id TEXT, 
	parent_execution_id BIGINT, 
	parent_event_id BIGINT, 
	created_at_ms BIGINT NOT NULL, 
	updated_at_ms BIGINT NOT NULL, 
	PRIMARY KEY (instance_id)
)
 WITHOUT ROWID;
INSERT INTO "duroxide_instances" VALUES('done',1144510350625625675,'leaf','1.0.0',1,4,'Completed','2',1048576,NULL,0,NULL,NULL,NULL,1795687925412,1795687925438);
INSERT INTO "duroxide_instances" VALUES('elsewhere',3820653678618535607,'elsewhere','1.0.0',1,2,'Running',NULL,1048576,NULL,0,NULL,NULL,NULL,1795687925438,1795687925438);
INSERT INTO "duroxide_instances" VALUES('failed',1310083197522615723,'fails','1.0.0',1,4,'Failed','no',1048576,NULL,0,NULL,NULL,NULL,1795687925412,1795687925438);
INSERT INTO "duroxide_instances" VALUES('loops',1377510454573820329,'loops','1.0.0',3,2,'Running',NULL,1048576,NULL,0,NULL,NULL,NULL,1795687925438,1795687925469);
INSERT INTO "duroxide_instances" VALUES('order',1620966400224405837,'order','1.0.0',1,6,'Running',NULL,1048576,'waits',1,NULL,NULL,NULL,1795687925438,1795687925454);
INSERT INTO "duroxide_instances" VALUES('parent',227160693547962951,'family','1.0.0',1,2,'Running',NULL,1048576,NULL,0,NULL,NULL,NULL,1795687925438,1795687925438);
INSERT INTO "duroxide_instances" VALUES('parent::child',4259819312331260515,'sleeps','1.0.0',1,2,'Running',NULL,1048576,NULL,0,'parent',1,2,1795687925454,1795687925454);
INSERT INTO "duroxide_instances" VALUES('sleeper',3800736796597887271,'sleeps','1.0.0',1,2,'Running',NULL,1048576,NULL,0,NULL,NULL,NULL,1795687925438,1795687925438);
CREATE TABLE duroxide_kv (
	instance_id TEXT NOT NULL, 
	"key" TEXT NOT NULL, 
	value TEXT NOT NULL, 
	updated_at_ms BIGINT NOT NULL, 
	PRIMARY KEY (instance_id, "key")
)
 WITHOUT ROWID;
INSERT INTO "duroxide_kv" VALUES('order','doubled','42',1795687925454);
CREATE TABLE duroxide_orchestrator_queue (
	id INTEGER NOT NULL, 
	instance_id TEXT NOT NULL, 
	execution_id BIGINT, 
	kind TEXT NOT NULL, 
	event_id BIGINT, 
	data TEXT NOT NULL, 
	visible_at_ms BIGINT NOT NULL, 
	attempt_count INTEGER DEFAULT 0 NOT NULL, 
	batch_token TEXT, 
	PRIMARY KEY (id)
);
INSERT INTO "duroxide_orchestrator_queue" VALUES(3,'sleeper',1,'TimerFired',2,'{"source_event_id":2,"fire_at_ms":1795687985436}',1795687985436,0,NULL);
INSERT INTO "duroxide_orchestrator_queue" VALUES(5,'parent::child',1,'TimerFired',2,'{"source_event_id":2,"fire_at_ms":1795687985452}',1795687985452,0,NULL);
INSERT INTO "duroxide_orchestrator_queue" VALUES(6,'order',NULL,'ExternalEvent',NULL,'{"name":"approved","data":"\"yes\""}',1795687925482,0,NULL);
INSERT INTO "duroxide_orchestrator_queue" VALUES(7,'loops',NULL,'QueueEventDelivered',NULL,'{"name":"letters","data":"\"a letter\""}',1795687925483,0,NULL);
INSERT INTO "duroxide_orchestrator_queue" VALUES(8,'late',1,'StartOrchestration',NULL,'{"name":"leaf","input":"5","kv":{},"queued":[]}',1795687925486,0,NULL);
CREATE TABLE duroxide_schema_version (version_num VARCHAR(32) NOT NULL PRIMARY KEY);
INSERT INTO "duroxide_schema_version" VALUES('1_0001');
CREATE TABLE duroxide_sessions (
	session_id TEXT NOT NULL, 
	owner TEXT NOT NULL, 
	leased_until_ms BIGINT NOT NULL, 
	last_activity_at_ms BIGINT NOT NULL, 
	PRIMARY KEY (session_id)
)
 WITHOUT ROWID;
CREATE TABLE duroxide_worker_queue (
	instance_id TEXT NOT NULL, 
	execution_id BIGINT NOT NULL, 
	activity_id BIGINT NOT NULL, 
	name TEXT NOT NULL, 
	input TEXT NOT NULL, 
	orchestration_name TEXT NOT NULL, 
	orchestration_version TEXT NOT NULL, 
	session_id TEXT, 
	tag TEXT, 
	retry_attempt BIGINT NOT NULL, 
	position BIGINT NOT NULL, 
	visible_at_ms BIGINT NOT NULL, 
	lock_token TEXT, 
	attempt_count BIGINT NOT NULL, 
	expires_at_ms BIGINT, 
	PRIMARY KEY (instance_id, execution_id, activity_id)
)
 WITHOUT ROWID;
INSERT INTO "duroxide_worker_queue" VALUES('elsewhere',1,2,'double','4','elsewhere','1.0.0',NULL,'elsewhere',1,1795687925439000000,1795687925438,NULL,0,NULL);
CREATE INDEX duroxide_executions_continued ON duroxide_executions (instance_id, execution_id) WHERE execution_id > 1;
CREATE INDEX duroxide_instances_created ON duroxide_instances (created_at_ms, instance_id);
CREATE INDEX duroxide_instances_not_completed ON duroxide_instances (status, created_at_ms, instance_id) WHERE status <> 'Completed';
CREATE INDEX duroxide_orchestrator_queue_instance ON duroxide_orchestrator_queue (instance_id, event_id);
CREATE INDEX duroxide_orchestrator_queue_visible ON duroxide_orchestrator_queue (visible_at_ms, id);
CREATE INDEX duroxide_worker_queue_expires ON duroxide_worker_queue (expires_at_ms) WHERE expires_at_ms IS NOT NULL;
CREATE INDEX duroxide_worker_queue_visible ON duroxide_worker_queue (visible_at_ms, position);
CREATE INDEX duroxide_worker_queue_session ON duroxide_worker_queue (session_id) WHERE session_id IS NOT NULL;
CREATE INDEX duroxide_instances_parent ON duroxide_instances (parent_instance_id) WHERE parent_instance_id IS NOT NULL;
COMMIT;
