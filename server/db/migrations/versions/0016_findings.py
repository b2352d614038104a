"""what the reading of a document found beside its text

Revision: 0016
After: 0015
"""

import sqlalchemy as sa
from alembic import op

revision = '0016'
down_revision = '0015'
branch_labels = None
depends_on = None


def upgrade() -> None:
    # Never as a batch, see 0002.
    op.add_column('document', sa.Column('findings', sa.JSON(), nullable=True))


def downgrade() -> None:
    op.drop_column('document', 'findings')
