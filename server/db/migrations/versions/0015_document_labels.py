"""what people say of documents, and who may see them

Revision: 0015
After: 0014
"""

import sqlalchemy as sa
from alembic import op

revision = '0015'
down_revision = '0014'
branch_labels = None
depends_on = None

COLUMNS = ('tags', 'properties', 'visible_to')


def upgrade() -> None:
    # Never as a batch, see 0002.
    for name in COLUMNS:
        op.add_column('document', sa.Column(name, sa.JSON(), nullable=True))


def downgrade() -> None:
    # What not everybody may see must not become everybody's.
    op.execute('UPDATE knowledge_base SET generation = generation + 1')
    op.execute('DELETE FROM document WHERE visible_to IS NOT NULL')
    for name in reversed(COLUMNS):
        op.drop_column('document', name)
