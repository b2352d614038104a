"""jobs: whose they are, their turn in the queue, and what is told of them

Revision: 0018
After: 0015
"""

from collections import Counter

import server.db.base
import sqlalchemy as sa
from alembic import op

revision = '0018'
down_revision = "0017"
branch_labels = None
depends_on = None

NUMBERS = ('pages_done', 'pages_total', 'chars', 'chunks')
INDEXES = {
    'ix_job_queue': ['state', 'turn', 'created_at', 'id'],
    'ix_job_client_queue': ['client_id', 'state', 'turn'],
    'ix_job_client_changed': ['client_id', 'changed_at'],
}
# The first round of files of conversations.
ATTACHED = -(1 << 40)


def upgrade() -> None:
    # Never as a batch, see 0002.
    op.add_column('job', sa.Column('client_id', sa.String(length=32), nullable=False, server_default=''))
    op.add_column('job', sa.Column('turn', sa.BigInteger(), nullable=False, server_default='0'))
    for name in NUMBERS:
        op.add_column('job', sa.Column(name, sa.Integer(), nullable=False, server_default='0'))
    op.add_column('job', sa.Column('expected_at', server.db.base.UTCDateTime(), nullable=True))
    op.add_column('job', sa.Column('changed_at', server.db.base.UTCDateTime(), nullable=False, server_default=sa.text("'1970-01-01 00:00:00'")))
    op.execute(
        'UPDATE job SET changed_at = created_at,'
        ' client_id = (SELECT client_id FROM knowledge_base WHERE knowledge_base.id = job.kb_id)'
    )
    # What was being embedded is read from the beginning: from now on such a document has its passages already.
    op.execute("UPDATE document SET state = 'waiting' WHERE state = 'embedding'")
    _queue(op.get_bind())
    for name, columns in INDEXES.items():
        op.create_index(name, 'job', columns, unique=False)


def _queue(connection: sa.Connection) -> None:
    """Those who wait take turns, too."""
    waiting = connection.execute(sa.text("SELECT id, client_id, kind FROM job WHERE state = 'waiting' ORDER BY created_at, id"))
    taken: Counter[tuple[str, bool]] = Counter()
    for job_id, client_id, kind in waiting.all():
        place = (client_id, kind == 'attach')
        turn = taken[place] + (ATTACHED if place[1] else 0)
        taken[place] += 1
        connection.execute(sa.text('UPDATE job SET turn = :turn WHERE id = :id'), {'turn': turn, 'id': job_id})


def downgrade() -> None:
    for name in INDEXES:
        op.drop_index(name, table_name='job')
    for column in ('changed_at', 'expected_at', *reversed(NUMBERS), 'turn', 'client_id'):
        op.drop_column('job', column)
