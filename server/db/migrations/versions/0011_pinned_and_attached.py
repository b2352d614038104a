"""pinned sessions, and knowledge bases of the files that are attached to one session

Revision: 0011
After: 0010
"""

import server.db.base
import sqlalchemy as sa
from alembic import op

revision = '0011'
down_revision = '0010'
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column('session', sa.Column('pinned_at', server.db.base.UTCDateTime(), nullable=True))
    # Never as a batch, see 0002.
    op.add_column('knowledge_base', sa.Column('session_id', sa.String(length=32), nullable=True))
    op.create_index('ix_knowledge_base_session_id', 'knowledge_base', ['session_id'], unique=True)


def downgrade() -> None:
    # Without the column they would be knowledge bases like any other.
    op.execute('DELETE FROM knowledge_base WHERE session_id IS NOT NULL')
    op.drop_index('ix_knowledge_base_session_id', table_name='knowledge_base')
    op.drop_column('knowledge_base', 'session_id')
    op.drop_column('session', 'pinned_at')
