BEGIN;
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
CREATE INDEX duroxide_instances_created ON duroxide_instances (created_at_ms, instance_id);
CREATE INDEX duroxide_instances_named ON duroxide_instances (orchestration_name, created_at_ms, instance_id);
CREATE TABLE duroxide_kv (
	instance_id TEXT NOT NULL, 
	"key" TEXT NOT NULL, 
	value TEXT NOT NULL, 
	updated_at_ms BIGINT NOT NULL, 
	PRIMARY KEY (instance_id, "key")
)
 WITHOUT ROWID;
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
CREATE INDEX duroxide_orchestrator_queue_instance ON duroxide_orchestrator_queue (instance_id, event_id);
CREATE INDEX duroxide_orchestrator_queue_visible ON duroxide_orchestrator_queue (visible_at_ms, id);
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
CREATE INDEX duroxide_worker_queue_visible ON duroxide_worker_queue (visible_at_ms, position);
CREATE INDEX duroxide_worker_queue_session ON duroxide_worker_queue (session_id) WHERE session_id IS NOT NULL;
CREATE INDEX duroxide_worker_queue_expires ON duroxide_worker_queue (expires_at_ms) WHERE expires_at_ms IS NOT NULL;
CREATE INDEX duroxide_instances_parent ON duroxide_instances (parent_instance_id) WHERE parent_instance_id IS NOT NULL;
CREATE INDEX duroxide_instances_not_completed ON duroxide_instances (status, created_at_ms, instance_id) WHERE status <> 'Completed';
CREATE INDEX duroxide_executions_continued ON duroxide_executions (instance_id, execution_id) WHERE execution_id > 1;
CREATE TABLE duroxide_schema_version (version_num VARCHAR(32) NOT NULL PRIMARY KEY);
INSERT INTO duroxide_schema_version VALUES ('1_0002');
COMMIT;
