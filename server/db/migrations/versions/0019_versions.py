"""versions of files that were replaced: when, and by what words their passages were found; knowledge bases that are being imported

Revision: 0019
After: 0015
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import mysql

import server.db.base

revision = '0019'
down_revision = "0018"
branch_labels = None
depends_on = None


def upgrade() -> None:
    # Never as a batch, see 0002.
    op.add_column('document', sa.Column('archived_at', server.db.base.UTCDateTime(), nullable=True))
    op.add_column('chunk', sa.Column('kept_tokens', sa.Text().with_variant(mysql.LONGTEXT(), 'mysql', 'mariadb'), nullable=True))
    op.add_column('knowledge_base', sa.Column('importing', sa.Boolean(), nullable=False, server_default=sa.false()))


def downgrade() -> None:
    op.execute("DELETE FROM document WHERE state = 'archived'")
    op.execute('DELETE FROM knowledge_base WHERE importing')
    op.drop_column('knowledge_base', 'importing')
    op.drop_column('chunk', 'kept_tokens')
    op.drop_column('document', 'archived_at')
