"""contract sessions: order within a session, knowledge base and feedback of a message, whose a recommended question is

Revision: 0007
After: 0006
"""

import hashlib
import re
import unicodedata

import server.db.base
import sqlalchemy as sa
from alembic import op

revision = '0007'
down_revision = '0006'
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column('message', sa.Column('position', sa.Integer(), nullable=False, server_default='0'))
    op.add_column('message', sa.Column('kb_id', sa.String(length=32), nullable=True))
    op.add_column('message', sa.Column('feedback_score', sa.Integer(), nullable=True))
    op.add_column('message', sa.Column('feedback_reason', sa.String(length=255), nullable=False, server_default=''))
    op.add_column('message', sa.Column('feedback_at', server.db.base.UTCDateTime(), nullable=True))
    op.create_index('ix_message_client_id_kb_id_feedback_at', 'message', ['client_id', 'kb_id', 'feedback_at'], unique=False)

    # Nothing refers to this table: SQLite may make it again.
    with op.batch_alter_table('question', schema=None) as batch_op:
        batch_op.add_column(sa.Column('client_id', sa.String(length=32), nullable=True))
        batch_op.add_column(sa.Column('query_key', sa.String(length=64), nullable=False, server_default=''))
        batch_op.create_foreign_key(
            batch_op.f('fk_question_client_id_client'), 'client', ['client_id'], ['id'], ondelete='CASCADE'
        )
        batch_op.create_index(batch_op.f('ix_question_client_id'), ['client_id'], unique=False)
        batch_op.create_index(batch_op.f('ix_question_query_key'), ['query_key'], unique=False)
    question = sa.table('question', sa.column('id', sa.Integer()), sa.column('query', sa.String()), sa.column('query_key', sa.String()))
    connection = op.get_bind()
    for number, query in connection.execute(sa.select(question.c.id, question.c.query)).all():
        connection.execute(question.update().where(question.c.id == number).values(query_key=_key(query)))


def _key(query: str) -> str:
    """core.questions.question_key as it was then."""
    text = re.sub(r'\s+', ' ', unicodedata.normalize('NFKC', query).casefold()).strip()
    text = re.sub(r'(?<=[\u3000-\u9fff]) | (?=[\u3000-\u9fff])', '', text)
    return hashlib.sha256((text.rstrip(' ?!.。,、;~…') or text).encode()).hexdigest()


def downgrade() -> None:
    with op.batch_alter_table('question', schema=None) as batch_op:
        batch_op.drop_constraint(batch_op.f('fk_question_client_id_client'), type_='foreignkey')
        batch_op.drop_index(batch_op.f('ix_question_query_key'))
        batch_op.drop_index(batch_op.f('ix_question_client_id'))
        batch_op.drop_column('query_key')
        batch_op.drop_column('client_id')
    op.drop_index('ix_message_client_id_kb_id_feedback_at', table_name='message')
    for column in ('feedback_at', 'feedback_reason', 'feedback_score', 'kb_id', 'position'):
        op.drop_column('message', column)
