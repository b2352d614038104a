"""passages that people change one by one: where each comes from, whether it is searched, what large one it is part of

Revision: 0017
After: 0015
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import mysql

revision = '0017'
down_revision = "0016"
branch_labels = None
depends_on = None


def upgrade() -> None:
    # Never as a batch, see 0002.
    op.add_column('chunk', sa.Column('enabled', sa.Boolean(), server_default=sa.true(), nullable=False))
    op.add_column('chunk', sa.Column('origin', sa.String(length=8), server_default='file', nullable=False))
    op.add_column('chunk', sa.Column('original', sa.Text().with_variant(mysql.LONGTEXT(), 'mysql', 'mariadb'), nullable=True))
    op.add_column('chunk', sa.Column('parent', sa.Integer(), nullable=True))
    op.add_column('document', sa.Column('disabled_count', sa.Integer(), server_default='0', nullable=False))
    op.add_column('document', sa.Column('edits', sa.JSON(), nullable=True))


def downgrade() -> None:
    # Switched off they must not be found again; their places in segments would not fit either.
    op.execute('UPDATE knowledge_base SET generation = generation + 1')
    op.execute(sa.text('DELETE FROM chunk WHERE enabled = :off').bindparams(sa.bindparam('off', False, sa.Boolean())))
    # Positions have gaps now, and were rows of segments: no vector is copied by them.
    op.execute("UPDATE chunk SET content_hash = '' WHERE document_id IN (SELECT id FROM document WHERE disabled_count > 0)")
    op.drop_column('document', 'edits')
    op.drop_column('document', 'disabled_count')
    for name in ('parent', 'original', 'origin', 'enabled'):
        op.drop_column('chunk', name)
