"""question sets of knowledge bases, runs over them, and what became of each question

Revision: 0014
After: 0013
"""

import server.db.base
import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import mysql

revision = '0014'
down_revision = '0013'
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table('evaluation_set',
    sa.Column('id', sa.String(length=32), nullable=False),
    sa.Column('kb_id', sa.String(length=32), nullable=False),
    sa.Column('name', sa.String(length=64), nullable=False),
    sa.Column('created_at', server.db.base.UTCDateTime(), nullable=False),
    sa.ForeignKeyConstraint(['kb_id'], ['knowledge_base.id'], name=op.f('fk_evaluation_set_kb_id_knowledge_base'), ondelete='CASCADE'),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_evaluation_set')),
    sa.UniqueConstraint('kb_id', 'name', name=op.f('uq_evaluation_set_kb_id_name')),
    mariadb_charset='utf8mb4',
    mariadb_collate='utf8mb4_bin',
    mysql_charset='utf8mb4',
    mysql_collate='utf8mb4_bin'
    )
    op.create_table('evaluation_question',
    sa.Column('id', sa.Integer(), autoincrement=True, nullable=False),
    sa.Column('set_id', sa.String(length=32), nullable=False),
    sa.Column('question', sa.Text().with_variant(mysql.LONGTEXT(), 'mariadb').with_variant(mysql.LONGTEXT(), 'mysql'), nullable=False),
    sa.Column('question_key', sa.String(length=64), nullable=False),
    sa.Column('gold_answer', sa.Text().with_variant(mysql.LONGTEXT(), 'mariadb').with_variant(mysql.LONGTEXT(), 'mysql'), nullable=True),
    sa.Column('gold_files', sa.JSON(), nullable=False),
    sa.Column('gold_passage', sa.Text().with_variant(mysql.LONGTEXT(), 'mariadb').with_variant(mysql.LONGTEXT(), 'mysql'), nullable=True),
    sa.Column('answerable', sa.Boolean(), nullable=True),
    sa.Column('tags', sa.JSON(), nullable=False),
    sa.Column('origin', sa.String(length=16), nullable=False),
    sa.Column('message_id', sa.String(length=32), nullable=True),
    sa.Column('created_at', server.db.base.UTCDateTime(), nullable=False),
    sa.ForeignKeyConstraint(['set_id'], ['evaluation_set.id'], name=op.f('fk_evaluation_question_set_id_evaluation_set'), ondelete='CASCADE'),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_evaluation_question')),
    sa.UniqueConstraint('set_id', 'question_key', name=op.f('uq_evaluation_question_set_id_question_key')),
    mariadb_charset='utf8mb4',
    mariadb_collate='utf8mb4_bin',
    mysql_charset='utf8mb4',
    mysql_collate='utf8mb4_bin',
    sqlite_autoincrement=True
    )
    op.create_table('evaluation_run',
    sa.Column('id', sa.String(length=32), nullable=False),
    sa.Column('set_id', sa.String(length=32), nullable=False),
    sa.Column('name', sa.String(length=100), nullable=False),
    sa.Column('asked_by', sa.String(length=64), nullable=False),
    sa.Column('wish', sa.JSON(), nullable=False),
    sa.Column('conditions', sa.JSON(none_as_null=True), nullable=True),
    sa.Column('summary', sa.JSON(none_as_null=True), nullable=True),
    sa.Column('state', sa.String(length=16), nullable=False),
    sa.Column('done', sa.Integer(), nullable=False),
    sa.Column('total', sa.Integer(), nullable=False),
    sa.Column('attempts', sa.Integer(), nullable=False),
    sa.Column('lease_owner', sa.String(length=64), nullable=True),
    sa.Column('lease_until', server.db.base.UTCDateTime(), nullable=True),
    sa.Column('error_code', sa.String(length=32), nullable=True),
    sa.Column('error_text', sa.JSON(none_as_null=True), nullable=True),
    sa.Column('created_at', server.db.base.UTCDateTime(), nullable=False),
    sa.Column('started_at', server.db.base.UTCDateTime(), nullable=True),
    sa.Column('finished_at', server.db.base.UTCDateTime(), nullable=True),
    sa.ForeignKeyConstraint(['set_id'], ['evaluation_set.id'], name=op.f('fk_evaluation_run_set_id_evaluation_set'), ondelete='CASCADE'),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_evaluation_run')),
    mariadb_charset='utf8mb4',
    mariadb_collate='utf8mb4_bin',
    mysql_charset='utf8mb4',
    mysql_collate='utf8mb4_bin'
    )
    op.create_index(op.f('ix_evaluation_run_set_id'), 'evaluation_run', ['set_id'], unique=False)
    op.create_index('ix_evaluation_run_state_lease_until', 'evaluation_run', ['state', 'lease_until'], unique=False)

    op.create_table('evaluation_result',
    sa.Column('run_id', sa.String(length=32), nullable=False),
    sa.Column('number', sa.Integer(), autoincrement=False, nullable=False),
    sa.Column('question_id', sa.Integer(), nullable=False),
    sa.Column('asked', sa.JSON(), nullable=False),
    sa.Column('measured_at', server.db.base.UTCDateTime(), nullable=True),
    sa.Column('ranks', sa.JSON(), nullable=False),
    sa.Column('hits', sa.JSON(), nullable=False),
    sa.Column('lost', sa.JSON(none_as_null=True), nullable=True),
    sa.Column('answer', sa.Text().with_variant(mysql.LONGTEXT(), 'mariadb').with_variant(mysql.LONGTEXT(), 'mysql'), nullable=True),
    sa.Column('outcome', sa.String(length=16), nullable=True),
    sa.Column('error_code', sa.String(length=32), nullable=True),
    sa.Column('contains_gold', sa.Boolean(), nullable=True),
    sa.Column('cited', sa.Integer(), nullable=True),
    sa.Column('cited_gold', sa.Integer(), nullable=True),
    sa.Column('checked', sa.Integer(), nullable=True),
    sa.Column('verified', sa.Integer(), nullable=True),
    sa.Column('tokens', sa.JSON(none_as_null=True), nullable=True),
    sa.Column('milliseconds', sa.JSON(), nullable=False),
    sa.ForeignKeyConstraint(['run_id'], ['evaluation_run.id'], name=op.f('fk_evaluation_result_run_id_evaluation_run'), ondelete='CASCADE'),
    sa.PrimaryKeyConstraint('run_id', 'number', name=op.f('pk_evaluation_result')),
    mariadb_charset='utf8mb4',
    mariadb_collate='utf8mb4_bin',
    mysql_charset='utf8mb4',
    mysql_collate='utf8mb4_bin'
    )


def downgrade() -> None:
    for table in ('evaluation_result', 'evaluation_run', 'evaluation_question', 'evaluation_set'):
        op.drop_table(table)
